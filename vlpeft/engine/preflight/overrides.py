"""Overrides of a config, as of ``--cfg-options``: what would change nothing is refused.

A config file is expanded when it is read: afterwards its variables (``num_frames``) are in the settings that used them,
and a change of a variable changes nothing. So an override

* begins with a setting that the runner reads (``model``, ``train_dataloader``, …);
* goes on through what the config has there, list items by their index;
* ends in an entry that is there, or in a new one that its owner takes: an argument of the class that ``type`` names,
  a setting of the untyped dicts that MMEngine reads (loaders, ``env_cfg``, …), or ``_delete_``;
* in a dict of free entries (``custom_keys``, geometries of language models) may add any, unless it is one slip away
  from an entry that is there.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from vlpeft.nearest import near, suggestion

from .arguments import accepted
from .errors import ConfigError
from .places import places
from .types import MARKS, tables, type_problems

OPTION = '--cfg-options'
#: Settings that the runners read from the whole config, beside the arguments of their constructors.
ALSO_READ = (
    'packing',
    'runner_type',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'compile',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
)
READ = tuple(dict.fromkeys((*accepted(Runner), *accepted(FlexibleRunner), *ALSO_READ)))
SLIP = 0.8
LISTED = 4


def merge_overrides(cfg: Config, options: Mapping[str, Any], where: str = OPTION) -> None:
    """Merges overrides into a config.

    Args:
        cfg: Changed in place.
        options: Dotted keys and their values.
        where: Who gives them, for the message. Defaults to ``'--cfg-options'``.

    Raises:
        ConfigError: Some of them would change nothing, or do not fit; all of them are named. Those that would change
            something are merged then.
    """
    if not options:
        return
    closed = {place.path for place in places(cfg)} | {path for path, *_ in tables(cfg)}
    found = {key: _problem(cfg, key, value, closed) for key, value in options.items()}
    problems = [f'{key}: {problem}' for key, problem in found.items() if problem]
    for key, value in options.items():
        if found[key] is None:
            try:
                cfg.merge_from_dict({key: value})
            except (KeyError, TypeError, ValueError) as error:
                problems.append(str(error.args[0] if error.args else error))
    problems += [
        f'{path}: {text}'
        for path, text in type_problems(cfg)
        if any(f'{path}.'.startswith(f'{key}.') or f'{key}.'.startswith(f'{path}.') for key in options)
    ]
    if problems:
        raise ConfigError(where, problems)


def _problem(cfg: Config, key: str, value: Any, closed: set) -> str | None:
    first, *_ = parts = key.split('.')
    if first not in READ:
        return _not_read(cfg, first)
    node: Any = {name: cfg[name] for name in cfg.keys()}
    for depth, part in enumerate(parts):
        path = '.'.join(parts[:depth])
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                return f'{path} is a list of {len(node)}, which has no item {part!r}'
            node = node[int(part)]
        elif isinstance(node, Mapping):
            if part not in node:
                return None if part in MARKS or path in closed or not path else _slip(part, path, node)
            node = node[part]
        else:
            return f'{path} is {node!r} in the config, which has no entries; replace it as a whole in a config file'
    if isinstance(node, (int, float)) and not isinstance(node, bool) and isinstance(value, str) and path not in closed:
        return f'{value!r} is not a number; the config has {node!r}'
    return None


def _not_read(cfg: Config, name: str) -> str:
    if name not in cfg:
        return f'the config has no {name!r}{suggestion(name, READ, every=0)}'
    places_of = list(paths_ending_in(name, {key: cfg[key] for key in READ if key in cfg}))
    shown = ', '.join(places_of[:LISTED]) + (f' and {len(places_of) - LISTED} more' if len(places_of) > LISTED else '')
    hint = f': {shown}' if places_of else ''
    return (
        f'{name} is a variable of the config file, which is used while the file is read and changes nothing '
        f'afterwards; override what was made of it{hint}'
    )


def paths_ending_in(name: str, value: Any, path: str = '') -> Iterator[str]:
    """Dotted paths of the entries of that name, at any depth of a config."""
    if isinstance(value, Mapping):
        items = value.items()
    else:
        items = enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        below = f'{path}.{key}' if path else str(key)
        if key == name:
            yield below
        yield from paths_ending_in(name, item, below)


def _slip(name: str, path: str, node: Mapping) -> str | None:
    """Of entries that anyone may add, names that differ in a number only are meant."""
    found = near(name, node, SLIP)
    if found is None or re.sub(r'\d+', '', found) == re.sub(r'\d+', '', name):
        return None
    return f'{path} has no {name!r}; did you mean {found}?'
