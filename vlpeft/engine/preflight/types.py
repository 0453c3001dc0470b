"""Types, argument names and plain values of a whole config, compared with the registered classes."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmengine.registry import Registry
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from vlpeft.adaptation.trainable import KEYS
from vlpeft.datasets.transforms import PackChat
from vlpeft.models.momentum import MomentumWeights
from vlpeft.nearest import suggestion
from vlpeft.registry import HOOKS, LOOPS, OPTIM_WRAPPERS, PARAM_SCHEDULERS, names_of
from vlpeft.sites import Targets

from .arguments import accepted, fits, words
from .places import LOADERS, Place, places

#: Keys that MMEngine takes out of a dict before it builds what is in it.
MARKS = ('type', '_scope_', '_delete_')
TAKEN: dict[Registry, tuple[str, ...]] = {
    HOOKS: ('priority',),
    LOOPS: ('by_epoch',),
    PARAM_SCHEDULERS: ('convert_to_iter_based', 'by_epoch'),
    OPTIM_WRAPPERS: ('constructor', 'paramwise_cfg'),
}
#: Whose annotations are read, and whose tell whole numbers from others: MMEngine's ``end: int`` may be 0.7 epochs.
ANNOTATED, EXACT = ('vlpeft.', 'torch.', 'mmengine.'), 'vlpeft.'
LOADER_KEYS = {
    **accepted(DataLoader),
    **dict.fromkeys(('batch_size', 'num_workers', 'num_batch_per_epoch'), int),
    **dict.fromkeys(('drop_last', 'pin_memory', 'persistent_workers', 'disable_subprocess_warning'), bool),
}
#: Arguments that a class hands on as they are, and who takes them.
HANDED_ON = dict(targets=Targets, value_targets=Targets, momentum=MomentumWeights)
#: Dicts that no class is built from, and what MMEngine reads in them.
TABLES: dict[str, Mapping[str, Any]] = {
    'env_cfg': dict.fromkeys(('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'), Any),
    'env_cfg.mp_cfg': dict(mp_start_method=str, opencv_num_threads=int),
    'randomness': dict(seed=int | None, diff_rank_seed=bool, deterministic=bool),
    'auto_scale_lr': dict(enable=bool, base_batch_size=int),
    'packing': accepted(PackChat),
    'optim_wrapper.clip_grad': {**accepted(clip_grad_value_), **accepted(clip_grad_norm_)},
    'optim_wrapper.paramwise_cfg': dict(
        custom_keys=dict,
        bias_lr_mult=float,
        bias_decay_mult=float,
        norm_decay_mult=float,
        dwconv_decay_mult=float,
        flat_decay_mult=float,
        dcn_offset_lr_mult=float,
        bypass_duplicate=bool,
        lora_plus=float,
    ),
}


def type_problems(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (dotted key, what is wrong with it)."""
    for place in places(cfg):
        yield from _place_problems(place)
    for path, table, known in tables(cfg):
        yield from _key_problems(path, table, known, known, path)


def tables(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Mapping, Mapping[str, Any]]]:
    """Yields (dotted key, dict, its possible keys with annotations) of the dicts that are no class's."""
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, Mapping):
            # Several tasks have a loader each.
            named = {name: loader} if 'dataset' in loader else {f'{name}.{task}': one for task, one in loader.items()}
            yield from ((path, one, LOADER_KEYS) for path, one in named.items() if isinstance(one, Mapping))
    for path, known in TABLES.items():
        outer, _, inner = path.partition('.')
        table = cfg.get(outer)
        table = table.get(inner) if inner and isinstance(table, Mapping) else table
        if isinstance(table, Mapping):
            yield path, table, known
    for place in places(cfg):
        for name, taker in HANDED_ON.items():
            if isinstance(place.cfg.get(name), Mapping):
                yield f'{place.path}.{name}', place.cfg[name], accepted(taker)
        declared = place.cfg.get('trainable')
        for index, item in enumerate(declared if isinstance(declared, (list, tuple)) else ()):
            if isinstance(item, Mapping):
                yield f'{place.path}.trainable.{index}', item, dict.fromkeys(KEYS, Any)


def _place_problems(place: Place) -> Iterator[tuple[str, str]]:
    if place.kind is None:
        yield place.path, f'has no type: which {place.registry.name} is it?'
    elif place.found is None:
        names = names_of(place.registry)
        hint = suggestion(place.kind, names) if isinstance(place.kind, str) else ''
        yield f'{place.path}.type', f'{place.kind!r} is not a registered {place.registry.name}{hint}'
    else:
        known = accepted(place.found)
        if known is not None:
            more = TAKEN.get(place.registry, ())
            checked = known if place.found.__module__.startswith(ANNOTATED) else {}
            exact = place.found.__module__.startswith(EXACT)
            yield from _key_problems(place.path, place.cfg, (*known, *more), checked, place.found.__name__, exact)


def _key_problems(
    path: str, cfg: Mapping, known: Collection[str], annotations: Mapping[str, Any], owner: str, exact: bool = True
) -> Iterator[tuple[str, str]]:
    for name, value in cfg.items():
        if name in MARKS:
            continue
        if name not in known:
            yield f'{path}.{name}', f'{owner} takes no {name!r}{suggestion(name, known)}'
        elif name in annotations and not fits(value, annotations[name], exact):
            yield f'{path}.{name}', f'{value!r} does not fit, it takes {words(annotations[name])}'
