"""Processors of transformers by folder or hub name: one a process, found at once or refused at once."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

FILES = ('processor_config.json', 'preprocessor_config.json')
KINDS = ('image', 'video')


@functools.cache
def load_processor(name: str) -> Any:
    """The processor of a model.

    Args:
        name: Folder, or name on the hub.

    Raises:
        ValueError: There is none, or it needs a package that is not installed.
    """
    import transformers

    from vlpeft.models.hub import source_options

    options = source_options(name, 'processor', FILES)
    if int(transformers.__version__.split('.')[0]) < 5:
        options['use_fast'] = True  # as version 5 does unasked: another resizing changes the pixels
    try:
        # A folder or hub may name programs of its own, which transformers would ask about and run.
        processor = transformers.AutoProcessor.from_pretrained(name, trust_remote_code=False, **options)
    except Exception as error:  # whatever the parts of a processor raise
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ValueError(f'processor {name!r} cannot be loaded: {reason[:300]}') from error
    lacking = [part for part in ('tokenizer', 'image_processor') if getattr(processor, part, None) is None]
    if lacking:
        raise ValueError(f'processor {name!r} is a {type(processor).__name__}, which has no {" and no ".join(lacking)}')
    return processor


def check_options(processor: Any, kind: str, options: Mapping[str, Any]) -> None:
    """Whether the image or video processor knows options such as ``max_pixels``, ``size`` or ``crop_to_patches``.

    Args:
        processor: From :func:`load_processor`.
        kind: 'image' or 'video'.
        options: By name.

    Raises:
        ValueError: It does not know one, or there is no such processor.
    """
    part = getattr(processor, f'{kind}_processor', None)
    if not options:
        return
    if part is None:
        raise ValueError(f'{type(processor).__name__} takes no {kind}s, so {kind}_options cannot be given')
    known = {*part.to_dict(), *inspect.signature(part.preprocess).parameters}
    known |= set(getattr(getattr(part, 'valid_kwargs', None), '__annotations__', ()))
    known = sorted(name for name in known - {f'{kind}s', 'self', 'kwargs'} if not name.startswith('_'))
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"{kind}_options: {type(part).__name__} has no option '{unknown[0]}'; its options are {', '.join(known)}"
        )
