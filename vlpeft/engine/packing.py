"""One place in a config for how a model's processor is used: ``packing``, shared by all steps that run it."""

from collections.abc import Iterator, Mapping
from typing import Any

STEP = 'PackChat'


def share_packing(cfg: Any) -> None:
    """Gives every :class:`~vlpeft.datasets.transforms.PackChat` of a config the model's processor and ``packing``.

    The bases of models say ``packing = dict(image_options=…)`` and those of sets ``dict(type='PackChat', task=…)``, so
    that any of them go together. What a step says itself stands.

    Args:
        cfg: The config, which is changed.
    """
    model = cfg.get('model') or {}
    named = model.get('processor') or model.get('model')
    shared = dict(processor=named) if isinstance(named, str) else {}
    shared.update(cfg.get('packing') or {})
    for step in _steps(dict(cfg.items())):
        for name, value in shared.items():
            step.setdefault(name, value)


def _steps(value: Any) -> Iterator[dict]:
    if isinstance(value, Mapping):
        if str(value.get('type')).rpartition('.')[2] == STEP:
            yield value
        else:
            for item in value.values():
                yield from _steps(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _steps(item)
