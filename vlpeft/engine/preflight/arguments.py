"""Which arguments a class or function takes, and whether plain values fit their annotations."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

ANY = inspect.Parameter.empty


def accepted(kind: Callable) -> dict[str, Any] | None:
    """Arguments by name with their annotations; ``**kwargs`` stand for those of the base classes.

    Returns:
        None if any name is taken, or if the signature cannot be read.
    """
    if inspect.isclass(kind):
        functions = [base.__dict__['__init__'] for base in kind.__mro__[:-1] if '__init__' in base.__dict__]
    else:
        functions = [kind]
    found: dict[str, Any] = {}
    for function in functions:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return None
        hints = _hints(function)
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and parameter.name != 'self':
                found.setdefault(parameter.name, hints.get(parameter.name, ANY))
        rest = next((parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD), None)
        if rest is None:
            return found
        if not _goes_to_base(function, rest):
            return None
    return None


def _goes_to_base(function: Callable, rest: str) -> bool:
    """Whether ``**rest`` is what the constructor of the base class gets, rather than some part."""
    try:
        source = inspect.getsource(function)
    except OSError:
        return False
    return re.search(rf'super\(.*?\)\.__init__\((?:[^()]|\([^()]*\))*\*\*{rest}\b', source, re.DOTALL) is not None


def _hints(function: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except Exception:  # annotations that only a type checker can resolve
        return {}


def fits(value: Any, annotation: Any, exact: bool = True) -> bool:
    """Whether a number, text or truth value is what an annotation says; True where that cannot be told. Unless
    ``exact``, any number will do for another.
    """
    if not isinstance(value, (bool, int, float, str)):
        return True
    kinds = list(_plain(annotation))
    if not all(inspect.isclass(kind) for kind in kinds):
        return True
    if isinstance(value, int) and float in kinds or not exact and isinstance(value, float) and int in kinds:
        return True
    return isinstance(value, tuple(kinds))


def _plain(annotation: Any) -> Iterable[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _plain(part)
    elif annotation is ANY or annotation is typing.Any:
        yield None
    else:
        yield origin or annotation


def words(annotation: Any) -> str:
    """An annotation as it stands in the source."""
    return (
        getattr(annotation, '__name__', None)
        if inspect.isclass(annotation)
        else str(annotation).replace('typing.', '').replace('torch.', '')
    )
