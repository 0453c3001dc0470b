"""What a chat model is named by: a config, a folder or hub name of a model of transformers, or an adapter folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from vlpeft.adaptation.errors import AdapterFolderError
from vlpeft.adaptation.folder import read_record
from vlpeft.adaptation.peft_folder import CONFIG, is_peft_folder
from vlpeft.engine.config_file import read_config
from vlpeft.models.backbones.counted_logits import is_encoder_decoder
from vlpeft.models.backbones.image_text_lm import image_text_config
from vlpeft.models.hub import source_options
from vlpeft.models.tasks import ImageTextLM
from vlpeft.registry import MODELS
from vlpeft.zoo.config_names import SUFFIXES, find_config
from vlpeft.zoo.folder import ZooError
from vlpeft.zoo.model_index import ZooModel

from .build import load_model_config
from .chat_packing import Packing, build_pack, holds_conversations, packing_of
from .chat_questions import Request
from .folder_adapters import is_adapter_folder
from .hub_folder import is_hub_folder
from .media_files import PathLike

TASK, MAX_NEW_TOKENS = 'chat', 256
#: Settings of the task model that are not chosen by a folder itself.
OWN = ('model', 'tasks', 'base_checkpoint', 'adapter', 'trainable', 'dtype', 'data_preprocessor')


class ChatModel(NamedTuple):
    """A config whose ``model`` is an ``ImageTextLM``.

    Attributes:
        cfg: It.
        packing: How it reads.
        entry: Its entry in the zoo, if it has one.
        is_config: Whether it is a config that somebody wrote, rather than a model of transformers.
    """

    cfg: Config
    packing: Packing
    entry: ZooModel | None
    is_config: bool


def of_config(name: PathLike, overrides: Mapping[str, Any], task: str | None, packing: Mapping[str, Any]) -> ChatModel:
    """A config file or name of the zoo. Errors: of :func:`load_model_config` and :func:`packing_of`.

    Raises:
        ValueError: Its model holds no conversations.
    """
    cfg, entry = load_model_config(name, overrides)
    kind = MODELS.get(cfg.model.type)
    if kind is not None and not issubclass(kind, ImageTextLM):
        raise ValueError(
            f'{name}: a {cfg.model.type} holds no conversations; use VQAInferencer, CaptionInferencer or '
            'RetrievalInferencer'
        )
    return ChatModel(cfg, packing_of(cfg, str(name), task, packing), entry, True)


def of_transformers(
    name: PathLike, overrides: Mapping[str, Any], task: str | None, packing: Mapping[str, Any]
) -> ChatModel:
    """A folder or hub name of an image-text-to-text model of transformers, as it is.

    Args:
        name: It.
        overrides: Settings of :class:`ImageTextLM`, such as ``quantization`` and ``attn_implementation``.
        task: None; tasks are of configs.
        packing: Settings of :class:`PackChat`.

    Raises:
        ValueError: There is no such model, or a setting that it has itself.
    """
    name = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else str(name)
    config = image_text_config(name)
    if task is not None:
        raise ValueError(f'{name}: task={task!r} is of configs; this is a model of transformers')
    if wrong := [key for key in overrides if key in OWN]:
        raise ValueError(f'{name}: {wrong[0]}=… is of configs; a model of transformers has its own')
    format = getattr(config, 'dtype', None) or getattr(config.get_text_config(), 'dtype', None) or 'float32'
    settings = dict(
        type='ImageTextLM',
        model=name,
        dtype=str(format).removeprefix('torch.'),
        tasks={TASK: dict(max_new_tokens=MAX_NEW_TOKENS)},
        base_checkpoint=dict(source=name),
        **overrides,
    )
    own = dict(processor=settings.get('processor', name), task=TASK, encoder_decoder=is_encoder_decoder(config))
    pack = build_pack(own | dict(packing))
    return ChatModel(Config(dict(model=settings)), Packing(pack, Request(), TASK, 1), None, False)


def find_chat_model(
    name: PathLike, overrides: Mapping[str, Any], task: str | None, packing: Mapping[str, Any]
) -> ChatModel:
    """The model behind a name: that of a config if there is one, else of transformers.

    Raises:
        ZooError: It is neither.
        ValueError: See :func:`of_config` and :func:`of_transformers`.
    """
    if Path(name).expanduser().is_dir() and not is_hub_folder(name):
        return of_transformers(name, overrides, task, packing)
    try:
        return of_config(name, overrides, task, packing)
    except ZooError as error:
        if not _may_be_on_hub(name):
            raise
        try:
            source_options(str(name), 'model', ('config.json',))
        except ValueError as other:
            raise ZooError(f'{error}; and {other}') from error
    return of_transformers(name, overrides, task, packing)


def is_chat_model(name: PathLike) -> bool:
    """Whether a name is that of a config whose test reads conversations, of a model of transformers, or of an adapter
    folder that names one; a folder of files is none.

    Raises:
        ZooError: It is no folder, no name on the hub and no config.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return is_adapter_folder(folder) or (folder / 'config.json').is_file()
    try:
        return holds_conversations(read_config(find_config(name)))
    except ZooError:
        if _may_be_on_hub(name):
            return True
        raise


def _may_be_on_hub(name: PathLike) -> bool:
    return str(name).count('/') == 1 and Path(name).suffix not in SUFFIXES


def base_of(folder: PathLike) -> str:
    """The model that an adapter folder names as its base.

    Raises:
        AdapterFolderError: It names none that can be found; the message says how to name it.
    """
    folder = Path(folder).expanduser()
    if is_peft_folder(folder):
        name = json.loads((folder / CONFIG).read_text(encoding='utf-8')).get('base_model_name_or_path')
    else:
        name = read_record(folder)['base']['name']
    reason = ''
    # A name without a slash is that of a class, where the model did not know where it was from.
    if isinstance(name, str) and ('/' in name or Path(name).is_dir()):
        try:
            source_options(name, 'base', ('config.json',))
            return name
        except ValueError as error:
            reason = f' ({error})'
    raise AdapterFolderError(
        f'{folder} names its base {name!r}, which is not to be found{reason}; name its folder, and this one as the '
        f"checkpoint: ChatInferencer('base', {str(folder)!r})"
    )
