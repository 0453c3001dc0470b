"""Which family describes a backbone: functions by the library and the name of the classes that they know.

Classes of one name are built differently in different libraries: timm's ``VisionTransformer`` is not mmpretrain's.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import nn

from ..schema import SiteError, Tap, Tower

Describe = Callable[[nn.Module, str], Tower]
Role = str | Callable[[nn.Module], str]


class Family(NamedTuple):
    """How backbones of one build are described.

    Attributes:
        describe: From a backbone and the tower's name to its sites.
        role: What its tower is usually called: ``'vision'``, ``'text'``, ``'encoder'``, ``'decoder'`` or ``'lm'``; or a
            function that says so of a module.
        holds: A child of the backbone. A module of the class without it is not the backbone but holds one, as in
            another version of the library. Defaults to None, the class says enough.
    """

    describe: Describe
    role: Role
    holds: str | None = None


#: By top-level module and class name, such as ``'transformers.BartEncoder'``.
FAMILIES: dict[str, Family] = {}
#: What describes modules of classes that are not named there, by what they hold.
STRUCTURES: list[tuple[Callable[[nn.Module], bool], Family]] = []


def family(*classes: str, role: Role, holds: str | None = None) -> Callable[[Describe], Describe]:
    """Declares that the decorated function describes backbones of these classes, and of classes derived from them.

    Args:
        classes: Each by its top-level module and its name: ``'package.Class'``, wherever in the package it is.
        role: As for :class:`Family`.
        holds: As for :class:`Family`. Defaults to None.

    Raises:
        SiteError: A name of another form, or another function describes the class already.
    """

    def register(function: Describe) -> Describe:
        for name in classes:
            check_class_name('family', name)
            known = FAMILIES.get(name)
            # A module that is imported again, or a notebook's cell that runs again, replaces its own function.
            if known is not None and _origin(known.describe) != _origin(function):
                raise SiteError(f'family: {name} is described by {_origin(known.describe)} already')
            FAMILIES[name] = Family(function, role, holds)
        return function

    return register


def structure(fits: Callable[[nn.Module], bool], role: Role) -> Callable[[Describe], Describe]:
    """Declares that the decorated function describes modules of any class that hold what it knows.

    Args:
        fits: Whether it describes a module. Classes that are known by name never come here.
        role: As for :class:`Family`.
    """

    def register(function: Describe) -> Describe:
        STRUCTURES.append((fits, Family(function, role)))
        return function

    return register


def check_class_name(wanted_by: str, name: str) -> None:
    """Refuses what is no ``'package.Class'``."""
    parts = name.split('.')
    if len(parts) != 2 or not all(part.isidentifier() for part in parts):
        right = f'{parts[0]}.{parts[-1]}' if len(parts) > 1 else 'package.Class'
        raise SiteError(f'{wanted_by}: {name!r} is no class of a top-level module; write it as {right}')


def describe(module: nn.Module, name: str) -> Tower:
    """The tower of a backbone, by its class and, where no family knows that one, by its base classes.

    Args:
        module: The backbone.
        name: The tower's name in the model, such as ``'vision'``.

    Raises:
        SiteError: No family describes this class, or the one that does names modules that are not there.
    """
    known = family_of(module)
    if known is None:
        near = nearest(type(module))
        raise SiteError(
            f'no family describes the backbone {class_name(type(module))}'
            f'{f" (nearest: {near})" if near else ""}; there are: {", ".join(FAMILIES)}'
        )
    try:
        tower = known.describe(module, name)
        for path in _paths(tower):
            tower.at(path)
    except AttributeError as error:
        key = key_of(module) or class_name(type(module))
        raise SiteError(f'the family of {key} does not fit {class_name(type(module))}: {error}') from error
    return tower


def family_of(module: nn.Module) -> Family | None:
    """What describes a module: by its class, else by what it holds; None if nothing does."""
    key = key_of(module)
    if key is not None:
        return FAMILIES[key]
    return next((known for fits, known in STRUCTURES if fits(module)), None)


def key_of(module: nn.Module) -> str | None:
    """The key in :data:`FAMILIES` of the first class in ``module``'s line that a family knows."""
    known = [name for name in names_of(module) if name in FAMILIES]
    return next((name for name in known if (holds := FAMILIES[name].holds) is None or hasattr(module, holds)), None)


def names_of(module: nn.Module) -> list[str]:
    """The class of a module and its base classes, as families name them."""
    return [class_name(cls) for cls in type(module).__mro__]


def usual_role(module: nn.Module) -> str:
    """What the tower of a described module is usually called."""
    role = family_of(module).role
    return role if isinstance(role, str) else role(module)


def class_name(cls: type) -> str:
    """A class as families name it: top-level module and class."""
    return f'{cls.__module__.partition(".")[0]}.{cls.__name__}'


def nearest(cls: type) -> str | None:
    """The known class whose name is most like that of ``cls``; None if none is."""
    by_name: dict[str, str] = {}
    for key in FAMILIES:
        by_name.setdefault(key.partition('.')[2].lower(), key)
    found = difflib.get_close_matches(cls.__name__.lower(), by_name, n=1, cutoff=0.75)
    return by_name[found[0]] if found else None


def _origin(function: Describe) -> str:
    return f'{function.__module__}.{function.__qualname__}'


def _paths(tower: Tower) -> Iterator[str]:
    """Of all modules that a tower names, for hooks to find or fail at once."""
    yield from tower.norms or ()
    if tower.final_norm is not None:
        yield tower.final_norm
    if tower.patches is not None and tower.patches.rotary is not None:
        yield tower.patches.rotary
    if tower.entrance is not None:
        called = tower.entrance.embeddings.path
        yield called
        if tower.entrance.words is not None:
            yield f'{called}.{tower.entrance.words}'.removeprefix('.')
        if tower.entrance.positions is not None:
            yield tower.entrance.positions
    for block in tower.blocks:
        taps = [block.input, block.mask]
        for sub in block.sublayers.values():
            taps += [sub.x, sub.h, sub.y, sub.context, sub.context_mask, *(site.input for site in sub.linears.values())]
        yield from _paths_of(taps)
    for part in tower.outside.values():
        yield from _paths_of([part.x, part.h, *(site.input for site in part.linears.values())])


def _paths_of(taps: Iterable[Tap | None]) -> Iterator[str]:
    for tap in taps:
        if tap is not None:
            yield tap.path
            if tap.shape_of is not None:
                yield tap.shape_of
