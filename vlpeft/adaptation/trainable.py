"""The parts of a model that train beside its method, by one declaration.

    trainable = ['lm_head', dict(parts='biases', towers=['encoder', 'decoder'])]
    trainable = [dict(parts='all', but=['embeddings'])]

It is a list whose items are added up. A text is a module or parameter path or one of the :data:`words
<vlpeft.adaptation.parts.WORDS>` ``all``, ``heads``, ``connectors``, ``norms``, ``biases``, ``embeddings`` and
``position_biases``; the words come first. A dict narrows its ``parts`` down to ``towers``, ``kinds``, ``depths`` and
``linears``, takes away what ``but`` declares, and may name the ``role`` under which they are counted. One word may
stand alone, and a mapping from paths to roles too. A parameter that several items name has the role of the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from vlpeft.adapters import Adapter
from vlpeft.sites import SiteError, Tower, below, is_below

from .parts import WORDS, ModelParts

#: ``trainable`` of a method's handle and of task models.
Trainable = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | None
KEYS = ('parts', 'towers', 'kinds', 'depths', 'linears', 'but', 'role')
PLACES = ('towers', 'kinds', 'depths', 'linears')


def trained_parts(parts: ModelParts, declared: Trainable) -> dict[str, str]:
    """Names of the parameters that a declaration covers, and their roles.

    Args:
        parts: What there is.
        declared: See the module's text. None for nothing.

    Raises:
        SiteError: It is none; it names what there is not; or a part of it selects nothing, or takes nothing away.
    """
    found: dict[str, str] = {}
    for item in _items(declared):
        for name, role in _selected(parts, item).items():
            found.setdefault(name, role)
    return found


def check_gradients_reach(
    names: Iterable[str], adapter: Adapter, towers: Mapping[str, Tower], paths: Mapping[str, str]
) -> None:
    """Refuses parts of a model to which a method lets no gradient through.

    Args:
        names: Of the parameters that are to train.
        adapter: The method.
        towers: The backbones by name.
        paths: Where each of them is in the model.

    Raises:
        SiteError: Names one of them.
    """
    for name in adapter.cut_towers:
        tower = towers[name]
        cut = [below(paths[name], path) for path in (tower.block_path, tower.final_norm) if path is not None]
        lost = next((own for own in names if any(is_below(root, own) for root in cut)), None)
        if lost is not None:
            raise SiteError(
                f'trainable: {lost} lies in tower "{name}", which the method cuts off from gradients; '
                'leave that tower to one of them'
            )


def declared_texts(declared: Trainable) -> list[str]:
    """The words and paths of a declaration, without what narrows them down."""
    return list(dict.fromkeys(text for item in _items(declared) for text in _texts(item, 'parts')))


def _items(declared: Trainable, option: str = 'trainable') -> list[Mapping[str, Any]]:
    if declared is None:
        return []
    if isinstance(declared, str):
        if declared not in WORDS:
            raise SiteError(
                f'{option}={declared!r} is one text; give a list of paths, [{declared!r}], or one of the words '
                f'{", ".join(WORDS)}'
            )
        declared = [declared]
    if isinstance(declared, Mapping):
        if 'parts' in declared:
            return [_checked(declared)]
        return [_checked(dict(parts=path, role=role)) for path, role in declared.items()]
    if not isinstance(declared, Iterable):
        raise SiteError(f'{option}={declared!r} is no declaration; write a list, such as [dict(parts=…)]')
    return [_checked(dict(parts=item) if isinstance(item, str) else item) for item in declared]


def _checked(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, Mapping) or 'parts' not in item:
        raise SiteError(
            f'trainable: {item!r} names no parts; write a path, or dict(parts=…) with one of {", ".join(WORDS)}'
        )
    if unknown := [key for key in item if key not in KEYS]:
        raise SiteError(f'trainable: {dict(item)!r} has unknown keys {unknown}; there are {", ".join(KEYS)}')
    role = item.get('role', '')
    if not isinstance(role, str):
        raise SiteError(f'trainable: role={role!r} is no text')
    return item


def _texts(item: Mapping[str, Any], key: str) -> list[str]:
    value = item[key]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise SiteError(f'trainable: {key}={value!r} is no path or word, nor a list of them')
    return list(texts)


def _selected(parts: ModelParts, item: Mapping[str, Any]) -> dict[str, str]:
    places = {key: item.get(key) for key in PLACES}
    anywhere = all(value is None for value in places.values())
    role = item.get('role')
    found: dict[str, str] = {}
    for text in _texts(item, 'parts'):
        named = parts.named(text)
        if not anywhere:
            inside = parts.inside(text, **places)
            named = {name: own for name, own in named.items() if name in inside}
        if not named and not (text == 'heads' and parts.has_declared_heads and anywhere):
            where = ''.join(f', {key}={value!r}' for key, value in places.items() if value is not None)
            raise SiteError(f'trainable: parts={text!r}{where} selects no parameter of the model')
        for name, own in named.items():
            found.setdefault(name, own if role is None else role)
    if item.get('but') is not None:
        found = _without(parts, item, found)
    return found


def _without(parts: ModelParts, item: Mapping[str, Any], found: dict[str, str]) -> dict[str, str]:
    for part in _items(item['but'], 'but'):
        away = _selected(parts, part)
        if not away.keys() & found.keys():
            raise SiteError(f'trainable: {dict(item)!r}: {dict(part)!r} takes nothing away from it')
        found = {name: role for name, role in found.items() if name not in away}
    if not found:
        raise SiteError(f'trainable: {dict(item)!r} selects nothing: but takes everything away')
    return found


def mirror(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """A module whose parameters are some of a model's, the same tensors under the same names."""
    root = nn.Module()
    for name in names:
        *path, leaf = name.split('.')
        here = root
        for part in path:
            if part not in here._modules:
                here.add_module(part, nn.Module())
            here = here._modules[part]
        here.register_parameter(leaf, model.get_parameter(name))
    return root
