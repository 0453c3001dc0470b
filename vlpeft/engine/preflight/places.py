"""Which registry builds which dict of a config."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine import registry as parent
from mmengine.registry import Registry

from vlpeft.registry import (
    ADAPTERS,
    DATA_SAMPLERS,
    DATASETS,
    FUNCTIONS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    READERS,
    STRATEGIES,
    TRANSFORMS,
)

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Top-level keys that hold what a registry builds, alone, in a list or by name.
ROOTS: dict[str, Registry] = dict(
    model=MODELS,
    data_preprocessor=MODELS,
    optim_wrapper=OPTIM_WRAPPERS,
    param_scheduler=PARAM_SCHEDULERS,
    train_cfg=LOOPS,
    val_cfg=LOOPS,
    test_cfg=LOOPS,
    val_evaluator=METRICS,
    test_evaluator=METRICS,
    default_hooks=HOOKS,
    custom_hooks=HOOKS,
    strategy=STRATEGIES,
    model_wrapper_cfg=parent.MODEL_WRAPPERS,
    visualizer=parent.VISUALIZERS,
    log_processor=parent.LOG_PROCESSORS,
)
#: Arguments that hold what another registry builds than the one of the dict around them.
NESTED: dict[str, Registry] = dict(
    adapter=ADAPTERS,
    act_cfg=MODELS,
    dataset=DATASETS,
    pipeline=TRANSFORMS,
    reader=READERS,
    image_reader=READERS,
    sampler=DATA_SAMPLERS,
    batch_sampler=DATA_SAMPLERS,
    collate_fn=FUNCTIONS,
    worker_init_fn=FUNCTIONS,
    optimizer=OPTIMIZERS,
    vis_backends=parent.VISBACKENDS,
    init_cfg=parent.WEIGHT_INITIALIZERS,
    metrics=METRICS,
)
#: Of these, those that hold one thing.
ALONE, ALONE_WITHIN = (
    ('model', 'visualizer', 'strategy'),
    ('adapter', 'optimizer', 'dataset', 'reader', 'image_reader', 'sampler'),
)
#: Arguments of whose entries no registry builds any.
FREE = ('paramwise_cfg', 'trainable')
#: Types that MMEngine takes where the config names none.
DEFAULTS = dict(
    optim_wrapper='OptimWrapper',
    val_cfg='ValLoop',
    test_cfg='TestLoop',
    log_processor='LogProcessor',
    model_wrapper_cfg='MMDistributedDataParallel',
)


class Place(NamedTuple):
    """A dict that a registry builds.

    Attributes:
        path: Its dotted key in the config.
        cfg: The dict.
        registry: It builds it.
        kind: Name of the type, or the type itself; None where the config names none.
        found: What the registry has under that name, or None.
    """

    path: str
    cfg: Mapping[str, Any]
    registry: Registry
    kind: None | str | Callable
    found: Callable | None


def places(cfg: Mapping[str, Any]) -> Iterator[Place]:
    """Yields all dicts of a config that a registry must know, those whose type it does not know included."""
    for name, registry in ROOTS.items():
        if cfg.get(name) is not None:
            yield from _walk(name, cfg[name], registry, strict=True)
    for name in LOADERS:
        if cfg.get(name) is not None:
            yield from _walk(name, cfg[name], DATASETS, strict=False)


def _walk(path: str, value: Any, registry: Registry, strict: bool) -> Iterator[Place]:
    """``strict``: a type that the registry lacks is an error; else it belongs to someone else, such as a geometry."""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _walk(f'{path}.{index}', item, registry, strict)
    if not isinstance(value, Mapping):
        return
    kind = value.get('type', _default(path, value))
    if kind is None:
        # Tasks, hooks by name, loaders: their values are what the registry builds. A geometry's are not.
        within = strict and registry is not MODELS or registry is DATASETS
        if strict and _must_have_type(path):
            yield Place(path, value, registry, None, None)
            return
    else:
        found = _find(kind, registry)
        if found is None and (not strict or '_scope_' in value):
            return
        yield Place(path, value, registry, kind, found)
        within = getattr(found, '__module__', '').startswith('vlpeft.')
    for name, item in value.items():
        if name in FREE:
            continue
        yield from _walk(f'{path}.{name}', item, NESTED.get(name, registry), name in NESTED or within)


def _must_have_type(path: str) -> bool:
    """Whether a dict without a type can be nothing but an oversight; others hold parts by name, such as tasks."""
    above, _, last = path.rpartition('.')
    return path in ALONE or last in ALONE_WITHIN or last.isdigit() or above == 'default_hooks'


def _default(path: str, value: Mapping) -> str | None:
    if path == 'train_cfg':
        return 'EpochBasedTrainLoop' if value.get('by_epoch', True) else 'IterBasedTrainLoop'
    return DEFAULTS.get(path) if path not in ('val_cfg', 'test_cfg') or 'type' not in value else None


def _find(kind: str | Callable, registry: Registry) -> Callable | None:
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    try:
        found = registry.get(kind)
    except RuntimeError:  # MMEngine's, of a name with dots that cannot be imported
        found = None
    if found is None and registry is METRICS:
        found = parent.EVALUATOR.get(kind)
    return found
