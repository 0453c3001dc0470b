"""What a method's options may be: of the types that its constructor declares. One rule for all, plugins among them."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vlpeft.nearest import suggestion
from vlpeft.registry import ADAPTERS
from vlpeft.sites import SiteError, Targets, Tower

from .base import Adapter

#: What messages call a type, and whether a value is of it. ``True`` is no number here, and a text no list.
_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ('True or False', lambda value: isinstance(value, bool)),
    int: ('an integer', lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: (
        'a finite number',
        lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
    ),
    str: ('a text', lambda value: isinstance(value, str)),
    type(None): ('None', lambda value: value is None),
    Mapping: ('a dict', lambda value: isinstance(value, Mapping)),
    Sequence: ('a list', lambda value: isinstance(value, Sequence) and not isinstance(value, (str, bytes))),
}
_SAME = {dict: Mapping, list: Sequence, tuple: Sequence}


def build_method(config: Mapping[str, Any], towers: Mapping[str, Tower]) -> Adapter:
    """Builds one method.

    Args:
        config: ``dict(type='LoRA', …)``.
        towers: The frozen backbones by name.

    Raises:
        ValueError: It has no such option, lacks one, or a value is not of the type that the option has.
        SiteError: The method asks for what the towers do not have.
        KeyError: There is no such method.
    """
    kind = config['type']
    method = ADAPTERS.get(kind) if isinstance(kind, str) else kind
    if method is not None:
        if not inspect.isclass(method) or not issubclass(method, Adapter):
            raise ValueError(f'type={kind!r} is no method: it is no class derived from vlpeft.adapters.Adapter')
        check_options(method, {name: value for name, value in config.items() if name not in ('type', '_scope_')})
    return ADAPTERS.build(dict(config), default_args=dict(towers=towers))


def check_options(method: type, options: Mapping[str, Any]) -> None:
    """Refuses options that a constructor does not have, lacks, or that are of another type than it declares; those of
    a type that is not declared, or of no kind that is known here, may be anything. Errors: see :func:`build_method`.
    """
    name = method.__name__
    declared = dict(inspect.signature(method).parameters)
    declared.pop('towers', None)
    is_open = any(option.kind is option.VAR_KEYWORD for option in declared.values())
    named = [
        key for key, option in declared.items() if option.kind in (option.POSITIONAL_OR_KEYWORD, option.KEYWORD_ONLY)
    ]
    for option in options:
        if option not in named and not is_open:
            raise ValueError(f'{name} has no option {option!r}{suggestion(option, named)}')
    for option in named:
        if option not in options and declared[option].default is inspect.Parameter.empty:
            raise ValueError(f'{name} needs the option {option!r}; it has {", ".join(named)}')
    hints = typing.get_type_hints(method.__init__)
    for option, value in options.items():
        described, is_of_type = _kind(hints.get(option, Any))
        if not is_of_type(value):
            raise ValueError(f'{name}: {option}={value!r}; it is {described}')
        if option.endswith('targets') and isinstance(value, Mapping):
            _check_targets(name, option, value)


def _check_targets(name: str, option: str, value: Mapping[str, Any]) -> None:
    named = list(inspect.signature(Targets).parameters)
    if unknown := [key for key in value if key not in named]:
        raise SiteError(f'{name}: {option} has no {unknown[0]!r}{suggestion(str(unknown[0]), named)}')
    Targets(**value)


def _kind(hint: Any) -> tuple[str, Callable[[Any], bool]]:
    """What messages call a declared type, and whether a value is of it."""
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind(part) for part in arguments]
        return ' or '.join(text for text, _ in kinds), lambda value: any(is_of_type(value) for _, is_of_type in kinds)
    known = _KINDS.get(_SAME.get(origin, origin))
    if known is None:
        return 'anything', lambda value: True
    if _SAME.get(origin, origin) is Sequence and arguments:
        item, is_item = _kind(arguments[0])
        return f'a list, of which each item is {item}', lambda value: known[1](value) and all(map(is_item, value))
    return known
