"""Image-text-to-text models of transformers: built from their geometry alone, or with weights of safetensors files."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import nn

from vlpeft.checkpoint.errors import CheckpointError
from vlpeft.checkpoint.shards import is_index, shard_names
from vlpeft.models.hub import source_options

#: What transformers calls the files of a folder that it loads.
WHOLE, INDEX = 'model.safetensors', 'model.safetensors.index.json'
#: What says which tokens end an answer, among others.
GENERATION = 'generation_config.json'
#: Entries of a ``config.json`` that say how its files were written.
OF_FILES = ('architectures', 'dtype', 'torch_dtype', 'transformers_version')
SPECIAL_TOKENS = ('decoder_start_token_id', 'bos_token_id', 'eos_token_id', 'pad_token_id')


class Loaded(NamedTuple):
    """A model with weights, and what its files lack and hold beyond it: names of weights in the model and in the files,
    and shapes that differ.
    """

    vlm: nn.Module
    missing: list[str]
    unexpected: list[str]
    misfits: list[str]


def image_text_config(model: str | Mapping[str, Any]):
    """transformers' config of an image-text-to-text model.

    Args:
        model: Its entries with ``model_type``, or a directory or hub name whose ``config.json`` has them.

    Raises:
        ValueError: There is no such model type, directory or hub name, or transformers has no image-text-to-text model
            of that type.
    """
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    if isinstance(model, str):
        options = source_options(model, 'image-text-to-text model', ('config.json',))
        config = AutoConfig.from_pretrained(model, trust_remote_code=False, **options)
    else:
        entries = {**model}
        kind = entries.pop('model_type', None)
        if kind is None:
            raise ValueError(f"model={dict(model)!r} names no model_type; write dict(model_type='llava', …)")
        config = AutoConfig.for_model(kind, **entries)
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        known = sorted(known.model_type for known in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING)
        raise ValueError(
            f'model: {config.model_type!r} is no image-text-to-text model of this transformers; there are '
            + ', '.join(known)
        )
    return config


def build_image_text_lm(
    model: str | Mapping[str, Any], dtype: str = 'float32', attn_implementation: str | None = None
) -> nn.Module:
    """An image-text-to-text model of random weights, or of shapes alone on the device ``meta``.

    Args:
        model: As for :func:`image_text_config`.
        dtype: Of its weights, a name in torch, whatever ``config.json`` says. Defaults to ``'float32'``.
        attn_implementation: Of transformers, such as ``'sdpa'``, ``'eager'`` or ``'flash_attention_2'``. Defaults to
            None: ``'sdpa'`` in each part of the model that has it, else ``'eager'``. On ``meta`` it is always
            ``'eager'``, since masks of the others ask for values.

    Raises:
        ValueError: As of :func:`image_text_config`.
    """
    from transformers import AutoModelForImageTextToText

    attention = 'eager' if torch.empty(0).is_meta else attn_implementation
    vlm = AutoModelForImageTextToText.from_config(
        image_text_config(model), attn_implementation=attention, dtype=getattr(torch, dtype)
    )
    return _without_habits(vlm)


def load_image_text_lm(
    model: str | Mapping[str, Any],
    file: Path,
    dtype: str = 'float32',
    attn_implementation: str | None = None,
    quantization: Mapping[str, Any] | None = None,
) -> Loaded:
    """An image-text-to-text model with weights, read and renamed by transformers as it knows old files of its families.

    Args:
        model: As for :func:`image_text_config`.
        file: A safetensors file or the index of several; nothing else is read.
        dtype: Of its weights, whatever the file has. Defaults to ``'float32'``.
        attn_implementation: As for :func:`build_image_text_lm`. Defaults to None.
        quantization: Entries of transformers' ``BitsAndBytesConfig``, such as ``dict(load_in_4bit=True)``. Defaults to
            None, weights of ``dtype``.

    Raises:
        ValueError: As of :func:`image_text_config`; or ``quantization`` without bitsandbytes.
        CheckpointError: transformers cannot read the file, or the ``config.json`` beside it says otherwise than
            ``model``.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    options = {} if quantization is None else dict(quantization_config=quantization_config(quantization))
    config = image_text_config(model)
    if isinstance(model, Mapping):
        _check_geometry(model, file)
    with _folder_of(file, config) as folder:
        try:
            vlm, info = AutoModelForImageTextToText.from_pretrained(
                folder,
                config=config,
                dtype=getattr(torch, dtype),
                attn_implementation=attn_implementation,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
        except (OSError, RuntimeError, KeyError, SafetensorError) as error:
            reason = str(error).strip().splitlines()
            raise CheckpointError(f'{file}: {reason[0] if reason else type(error).__name__}') from error
    # Names alone, or with both shapes in transformers 5.
    misfits = sorted(found if isinstance(found, str) else found[0] for found in info['mismatched_keys'])
    shapes = vlm.state_dict()
    return Loaded(
        _without_habits(vlm),
        sorted(set(info['missing_keys']) - set(misfits)),
        sorted(info['unexpected_keys']),
        [f'{name}, which is {tuple(shapes[name].shape)} in the model' for name in misfits],
    )


def _check_geometry(model: Mapping[str, Any], file: Path) -> None:
    """Compares entries of a geometry with those of the weights' own: some, such as the base of rotary positions, change
    no shape, and a model that has them wrong computes something else in silence.

    Raises:
        CheckpointError: One differs.
    """
    beside = file.with_name('config.json')
    if not beside.is_file():
        return
    own = image_text_config(str(file.parent)).to_dict()
    differ = [
        f'{name} is {here!r} and there {there!r}'
        for name, here, there in _both(image_text_config(model).to_dict(), own, model)
        if here != there
    ]
    if differ:
        raise CheckpointError(
            f'the geometry in the config is not that of {beside}: {"; ".join(differ)}; correct model.model, or set '
            'model.model to the folder or hub name to take what is there'
        )


def _both(here: Mapping, there: Mapping, asked: Mapping, above: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of the entries that a geometry states, where both configs have them."""
    for name in asked:
        if name in OF_FILES or name not in here or name not in there:
            continue
        one, other = here[name], there[name]
        if isinstance(asked[name], Mapping) and isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _both(one, other, asked[name], f'{above}{name}.')
        else:
            yield f'{above}{name}', *(list(value) if isinstance(value, tuple) else value for value in (one, other))


def _without_habits(vlm: nn.Module) -> nn.Module:
    """Leaves of a model's own settings of generation the special tokens; how to decode is said where that is asked."""
    from transformers import GenerationConfig

    for part in vlm.modules():
        own = getattr(part, 'generation_config', None)
        if own is not None:
            part.generation_config = GenerationConfig(**{name: getattr(own, name) for name in SPECIAL_TOKENS})
    return vlm


def quantization_config(entries: Mapping[str, Any]):
    """transformers' ``BitsAndBytesConfig``.

    Raises:
        ValueError: An entry that it does not have, neither 4 nor 8 bits, or bitsandbytes is not installed.
    """
    from importlib.util import find_spec
    from inspect import signature

    from transformers import BitsAndBytesConfig

    known = [name for name in signature(BitsAndBytesConfig).parameters if name != 'kwargs']
    if unknown := [name for name in entries if name not in known]:
        raise ValueError(f'quantization has no {unknown[0]!r}; choose from {", ".join(known)}')
    if bool(entries.get('load_in_4bit')) == bool(entries.get('load_in_8bit')):
        raise ValueError(
            f'quantization={dict(entries)!r} names no number of bits; set load_in_4bit=True or load_in_8bit=True'
        )
    if find_spec('bitsandbytes') is None:
        raise ValueError(
            'quantization needs the package bitsandbytes, which is not installed: pip install bitsandbytes'
        )
    return BitsAndBytesConfig(**entries)


@contextmanager
def _folder_of(file: Path, config):
    """A folder with nothing but these weights, under the names that transformers looks for, and the special tokens."""
    from transformers import GenerationConfig

    with TemporaryDirectory(prefix='vlpeft-') as folder:
        names = {file.name: INDEX if is_index(file) else WHOLE}
        names.update({name: name for name in shard_names(file)} if is_index(file) else {})
        if file.with_name(GENERATION).is_file():
            names[GENERATION] = GENERATION
        else:
            GenerationConfig.from_model_config(config).save_pretrained(folder)
        for name, known_as in names.items():
            Path(folder, known_as).symlink_to(file.with_name(name).resolve())
        yield folder
