"""A trained model as a folder that other programs load: merged, for ``from_pretrained`` and servers, or for HF PEFT."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vlpeft.adaptation import load_adapter
from vlpeft.adaptation.merging import Merged
from vlpeft.adaptation.peft_folder.writing import write_peft_folder
from vlpeft.adapters import Adapter
from vlpeft.atomic import write_folder_atomically
from vlpeft.models.tasks import ImageTextLM
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError, Tower, is_below

from .build import get_model, load_model_config
from .processor_files import copy_processor, small_input

FORMATS = ('merged', 'peft')
#: Files by one of which a folder is known to be a model or an adapter, which may be replaced.
KNOWN = ('config.json', 'adapter_config.json')
#: How far a reloaded model's logits may be from those that were written, of the largest.
TOLERANCE = 1e-5


class ExportError(ValueError):
    """What cannot be exported."""


class Trained(NamedTuple):
    """A model of transformers that carries a trained method.

    Attributes:
        model: It.
        adapter: The method, None if parts of the model train alone.
        towers: By name.
        beside: Names of parts of the model that are trained beside the method.
        detach: Takes the method's hooks off.
        processor: Folder or hub name whose processor and tokenizer go with it; None for none.
    """

    model: nn.Module
    adapter: Adapter | None
    towers: Mapping[str, Tower]
    beside: tuple[str, ...]
    detach: Callable[[], None]
    processor: str | None


def is_one_model(config: str, **overrides: Any) -> bool:
    """Whether a config's model stands on one model of transformers, as which it is exported. Errors and arguments:
    :func:`from_config`.
    """
    kind = MODELS.get(load_model_config(config, overrides)[0].model.type)
    return kind is not None and issubclass(kind, ImageTextLM)


def from_config(config: str, checkpoint: str, **overrides: Any) -> Trained:
    """What a run has trained: a task model whose base is one model of transformers, such as ``ImageTextLM``.

    Args:
        config: Config file or name of the zoo.
        checkpoint: Of the run.
        **overrides: Settings of the config's ``model``.

    Raises:
        ExportError: A quantised base, a base of another library, or trained parts that lie outside of it.
    """
    settings = load_model_config(config, overrides)[0].model
    if settings.get('quantization'):
        raise ExportError(
            f'{config}: the base is quantised, which nothing can be merged into; export from the unquantised one: '
            '--cfg-options model.quantization=None'
        )
    task = get_model(config, checkpoint, **overrides)
    from transformers import PreTrainedModel

    bases = [name for name in task.backbones if isinstance(getattr(task, name), PreTrainedModel)]
    if len(bases) != 1 or set(task.backbones) != set(bases):
        raise ExportError(
            f'{config}: a {type(task).__name__} stands on {", ".join(task.backbones)}, and only one model of '
            'transformers can be exported; publish_model.py writes the trained parts of any task'
        )
    own = bases[0]
    if outside := sorted(name for name in task.declared if name.partition('.')[0] not in (own, 'adapter')):
        raise ExportError(
            f'{config}: {outside[0]} is trained beside {own}, in which it has no place; publish_model.py writes it'
        )
    beside = tuple(name.removeprefix(f'{own}.') for name in task.declared if is_below(own, name))
    named = settings.get('processor') or settings.get('model')
    processor = named if isinstance(named, str) else None
    return Trained(getattr(task, own), task.adapter, task.towers, beside, task.detach_adapter, processor)


def from_folders(model: str, adapter: str) -> Trained:
    """A folder or hub name of a model of transformers, and an adapter folder of ``vlpeft.attach`` or HF PEFT.

    Raises:
        ExportError: It is quantised, or of no class of transformers.
        AdapterFolderError: The adapter belongs to another model.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(model, trust_remote_code=False)
    if getattr(config, 'quantization_config', None):
        raise ExportError(f'{model} is quantised, which nothing can be merged into; export from the unquantised model')
    names = config.architectures or []
    kind = getattr(transformers, names[0], None) if names else None
    if kind is None:
        raise ExportError(f'{model}: config.json has architectures={names}, no class of transformers')
    base = kind.from_pretrained(model, dtype='auto').eval()
    handle = load_adapter(base, adapter)
    (method,) = handle.sets.values()
    return Trained(base, method, handle.towers, tuple(handle.part_roles), handle.hooks.detach_all, model)


def export(trained: Trained, folder: str, form: str = 'merged', overwrite: bool = False, shard: str = '5GB') -> str:
    """Writes the folder whole or not at all, reloads it and compares.

    Args:
        trained: Of :func:`from_config` or :func:`from_folders`; its model is merged and without hooks afterwards.
        folder: Is made; it must be empty if it is there.
        form: ``'merged'``, the whole model with the method in its weights, or ``'peft'``, a LoRA that HF PEFT loads.
            Defaults to ``'merged'``.
        overwrite: Whether a folder that holds a model or an adapter may be replaced. Defaults to False.
        shard: Largest size of a file of weights. Defaults to ``'5GB'``.

    Returns:
        What was written and how far the reloaded model's logits are from the adapted one's.

    Raises:
        ExportError: Another ``form``, a method without that form (the message names it), or a reloaded model that
            differs.
        OccupiedError: The folder is not empty.
    """
    if form not in FORMATS:
        raise ExportError(f'format {form!r}; choose from {", ".join(FORMATS)}')
    write = _merged if form == 'merged' else _peft
    found = write_folder_atomically(folder, lambda part: write(trained, part, shard), KNOWN, overwrite)
    return f'wrote {Path(folder)} ({found})'


def _merged(trained: Trained, folder: Path, shard: str) -> str:
    model = trained.model
    if trained.processor is not None:
        copy_processor(trained.processor, folder)
    given, what = small_input(model, folder)
    adapted = _logits(model, given)
    try:
        if trained.adapter is not None:
            Merged(trained.adapter, trained.towers)
    except SiteError as error:
        raise ExportError(
            f'{error}; keep the adapter beside its base, and put it on with vlpeft.load_adapter'
        ) from error
    trained.detach()
    # Parts that trained in single precision beside a model in half; buffers in single precision stay.
    for name in trained.beside:
        param = model.get_parameter(name)
        param.data = param.data.to(model.dtype)
    merged = _logits(model, given)
    model.save_pretrained(folder, max_shard_size=shard, safe_serialization=True)
    _name_class(folder / 'config.json', type(model).__name__)
    other = (
        type(model)
        .from_pretrained(folder, dtype=model.dtype, attn_implementation=model.config._attn_implementation)
        .eval()
    )
    _check_same(model, other, merged, _logits(other, given))
    files, dtype = len(list(folder.glob('*.safetensors'))), str(model.dtype).removeprefix('torch.')
    return f'{files} file(s) of weights in {dtype}; {_apart(adapted, merged, what)}'


def _name_class(path: Path, name: str) -> None:
    """Names the model's class, by which servers find it: transformers 4.57 leaves it out of some configs."""
    config = json.loads(path.read_text(encoding='utf-8'))
    if not config.get('architectures'):
        path.write_text(json.dumps(dict(config, architectures=[name]), indent=2) + '\n', encoding='utf-8')


def _peft(trained: Trained, folder: Path, shard: str) -> str:
    if trained.beside or trained.adapter is None:
        first = (*trained.beside, 'no method')[0]
        raise ExportError(f'a folder of peft holds a LoRA alone, and {first} trains here; export it merged')
    given, what = small_input(trained.model, None if trained.processor is None else Path(trained.processor))
    adapted = _logits(trained.model, given)
    write_peft_folder(folder, trained.adapter, trained.towers, trained.model)
    trained.detach()
    try:
        from peft import PeftModel
    except ImportError:
        return 'not compared: peft is not installed'
    return _apart(adapted, _logits(PeftModel.from_pretrained(trained.model, folder).eval(), given), what)


@torch.no_grad()
def _logits(model: nn.Module, given: Mapping[str, Tensor]) -> Tensor:
    return model(**given).logits.float()


def _check_same(model: nn.Module, other: nn.Module, logits: Tensor, again: Tensor) -> None:
    state, found = model.state_dict(), other.state_dict()
    odd = [name for name in state if name not in found or not torch.equal(state[name], found[name])]
    if odd or (logits - again).abs().max() > TOLERANCE * logits.abs().max():
        raise ExportError(f'the reloaded model differs: {", ".join(odd[:3]) or "its logits"}; nothing was written')


def _apart(adapted: Tensor, found: Tensor, what: str) -> str:
    apart, largest = float((adapted - found).abs().max()), float(adapted.abs().max())
    return f'largest difference of its logits from the adapted model: {apart:.3g} of {largest:.3g}, on {what}'
