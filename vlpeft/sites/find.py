"""Finding the towers of a model: by the families of its modules, or where the caller says that they are."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress

from torch import nn

from .families.connectors import describe_in
from .families.registry import FAMILIES, class_name, family_of, nearest, usual_role
from .families.stacks import NO_STACKS
from .paths import below
from .schema import OUTSIDE, SiteError, Tower
from .verify import verify


class FoundTowers(Mapping[str, Tower]):
    """The towers of a model by name; prints as a table.

    Attributes:
        paths: Where each is in the model, by name; ``''`` where it is the model itself.
    """

    def __init__(self, model: nn.Module, paths: Mapping[str, str]) -> None:
        self.paths = dict(paths)
        self._towers = {name: describe_in(model, path, name) for name, path in paths.items()}
        self._no_towers = _no_stacks(model)

    def __getitem__(self, name: str) -> Tower:
        return self._towers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._towers)

    def __len__(self) -> int:
        return len(self._towers)

    def verify(self) -> list[str]:
        """Looks whether the descriptions fit, as of :func:`vlpeft.sites.verify`.

        Returns:
            What whoever adapts these towers should know, in lines.

        Raises:
            SiteError: One does not fit.
        """
        lines = [
            f'tower "{name}": {tower.idle}; methods act in {_used(tower)} blocks'
            for name, tower in self.items()
            if tower.idle is not None
        ]
        lines += self._no_towers
        return lines + [line for tower in self.values() if (line := verify(tower)) is not None]

    def __repr__(self) -> str:
        rows = [('tower', 'path', 'class', 'depth', 'width', 'causal', 'kinds and linears')]
        for name, tower in self.items():
            rows.append(
                (
                    name,
                    self.paths[name] or '(the model)',
                    type(tower.module).__name__,
                    str(len(tower.blocks)) if tower.idle is None else _used(tower),
                    str(tower.width),
                    'yes' if tower.causal else 'no',
                    ', '.join(
                        f'{kind} ({" ".join(roles)})' if roles else kind for kind, roles in _roles(tower).items()
                    ),
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows)]
        return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def find_towers(model: nn.Module, towers: Mapping[str, str] | None = None) -> FoundTowers:
    """The stacks of transformer blocks in a model, as methods see them.

    Args:
        model: Any module.
        towers: Module paths by the names that the towers shall have, such as ``dict(vision='vision_tower',
            lm='model.decoder')``; ``''`` is the model itself, and a module that holds one tower will do. Defaults to
            None: the uppermost modules that a family describes, each named by its usual role (``'vision'``,
            ``'text'``, ``'encoder'``, ``'decoder'``, ``'lm'``).

    Raises:
        SiteError: No family describes any module, several towers have one role, or a path names no module or no single
            tower.
    """
    if towers is None:
        return _all_of(model, _by_role(model))
    if not isinstance(towers, Mapping) or not all(isinstance(text, str) for pair in towers.items() for text in pair):
        raise SiteError(f"find_towers: towers={towers!r}; write towers=dict(name='module.path')")
    if not towers:
        raise SiteError("find_towers: towers names none; write towers=dict(name='module.path'), or leave it out")
    found = FoundTowers(model, {name: _at(model, name, path) for name, path in towers.items()})
    owners: dict[int, str] = {}
    for name, tower in found.items():
        for block in tower.block_modules:
            other = owners.setdefault(id(block), name)
            if other != name:
                raise SiteError(
                    f'find_towers: {other}={found.paths[other]!r} and {name}={found.paths[name]!r} are one tower; '
                    'name it once'
                )
    return found


def _all_of(model: nn.Module, paths: Mapping[str, str]) -> FoundTowers:
    """All towers of a model; where one cannot be described, the error says how to name the others."""
    try:
        return FoundTowers(model, paths)
    except SiteError as error:
        others = {}
        for name, path in paths.items():
            with suppress(SiteError):
                describe_in(model, path, name)
                others[name] = path
        if not others:
            raise
        named = ', '.join(f'{name}={path!r}' for name, path in others.items())
        raise SiteError(f'{error}; the other towers are found with towers=dict({named})') from error


def _no_stacks(model: nn.Module) -> list[str]:
    """Lines about backbones that are no stacks of blocks."""
    return [
        f'{path or "the model"} ({kind}) is no tower: {NO_STACKS[kind]}'
        for path, part in model.named_modules()
        if (kind := class_name(type(part))) in NO_STACKS
    ]


def _uppermost(module: nn.Module, path: str = '', seen: set[int] | None = None) -> Iterator[str]:
    """Paths of the uppermost modules that a family describes; of one that is in several places, the first."""
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    if family_of(module) is not None:
        yield path
        return
    for name, child in module.named_children():
        yield from _uppermost(child, below(path, name), seen)


def _by_role(model: nn.Module) -> dict[str, str]:
    by_role: dict[str, list[str]] = {}
    for path in _uppermost(model):
        by_role.setdefault(usual_role(model.get_submodule(path)), []).append(path)
    if not by_role:
        raise SiteError(f'find_towers: {_none_in(model)}')
    for role, paths in by_role.items():
        if len(paths) > 1:
            names = [
                f'{name if len(places) == 1 else f"{name}_{index}"}={place!r}'
                for name, places in by_role.items()
                for index, place in enumerate(places)
            ]
            raise SiteError(
                f'find_towers: {class_name(type(model))} has {len(paths)} towers of role {role!r}; name those that are '
                f'meant: towers=dict({", ".join(names)})'
            )
    return {role: paths[0] for role, paths in by_role.items()}


def _at(model: nn.Module, name: str, path: str) -> str:
    """The path of the only tower at or below ``path``."""
    if not name.isidentifier():
        raise SiteError(f'find_towers: {name!r} cannot name a tower; use letters, digits and underscores')
    try:
        module = model.get_submodule(path)
    except AttributeError:
        raise SiteError(
            f'find_towers: {name}={path!r} is no module of {class_name(type(model))}{_near_path(model, path)}'
        ) from None
    found = list(_uppermost(module, path))
    if not found:
        raise SiteError(f'find_towers: {name}={path!r}: {_none_in(module)}')
    if len(found) > 1:
        raise SiteError(f'find_towers: {name}={path!r} holds {len(found)} towers: {", ".join(found)}; name one of them')
    return found[0]


def _near_path(model: nn.Module, path: str) -> str:
    """What the first part of ``path`` that does not exist may have meant."""
    module, there = model, ''
    for part in path.split('.'):
        children = dict(module.named_children())
        if part not in children:
            near = difflib.get_close_matches(part, children, n=1)
            names = [f'{there}{child}' for child in (near or children)]
            return f'; did you mean {names[0]}?' if near else f'; there are {", ".join(names)}' if names else ''
        module, there = children[part], f'{there}{part}.'
    return ''


def _none_in(module: nn.Module) -> str:
    if reasons := _no_stacks(module):
        return '; '.join(reasons)
    near = {}
    for path, part in module.named_modules():
        known = nearest(type(part))
        if known is not None:
            near.setdefault(class_name(type(part)), f'{class_name(type(part))} at {path!r} is like {known}')
    found = f' ({"; ".join(list(near.values())[:3])})' if near else ''
    return (
        f'no family describes {class_name(type(module))} or a module in it{found}; there are: {", ".join(FAMILIES)}; '
        "another one is declared by @vlpeft.sites.family('package.Class', role='encoder')"
    )


def _used(tower: Tower) -> str:
    return f'{len(tower.blocks)} of {len(tower.block_modules)}'


def _roles(tower: Tower) -> dict[str, list[str]]:
    """The roles of linear maps by kind, of all blocks together, and of the parts outside of them."""
    roles: dict[str, dict[str, None]] = {}
    for block in tower.blocks:
        for kind, sub in block.sublayers.items():
            roles.setdefault(kind, {}).update(dict.fromkeys(sub.linears))
    roles.update({kind: dict.fromkeys(tower.outside[kind].linears) for kind in OUTSIDE if kind in tower.outside})
    return {kind: list(names) for kind, names in roles.items()}
