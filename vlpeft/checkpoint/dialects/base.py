"""What a dialect is: a checkpoint layout, the way from it to our keys and back, and what it leaves behind on each."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .keymap import KeyMap

Rules = Sequence[tuple[str, str]]


class Dialect:
    """A checkpoint layout. ``ignored`` and ``dropped`` are pairs (regular expression at the key's start, reason).

    A layout of one tower names the keys below it and knows nothing of the model around it (``tower``). A layout of
    whole task models names several towers, and the other parts as our models call them (``towers``).
    """

    name: str = ''
    #: What the only tower of a file is called, until it is known where the model has it. Empty: not one tower.
    tower: str = ''
    #: Names by which the keys of several towers begin.
    towers: Sequence[str] = ()
    #: Whether a file of this layout holds its towers whole; else trained parts alone are such a file, too.
    whole: bool = True
    #: Whether it knows several methods at once; else a method is ``adapter``, also where it is one of several.
    several_methods: bool = False
    #: Whether a file is nothing but tensors, and so may be a .safetensors file, as hubs have it.
    flat: bool = False
    #: Why it is not written. Empty: it is.
    read_only: str = ''
    #: Foreign keys that are deliberately not read.
    ignored: Rules = ()
    #: Our keys that the layout cannot hold and that are deliberately not written.
    dropped: Rules = ()
    #: Parts of our models that belong to some tasks only: a model that lacks one whole leaves it in the file.
    optional_parts: Sequence[str] = ()
    #: Regular expressions of our keys that a network of this layout does not have: they are new in the model.
    new: Sequence[str] = ()
    #: Our tables below which a model may have new rows, and how many.
    new_rows: Mapping[str, int] = {}

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether weights have this layout."""
        raise NotImplementedError

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights in our keys, below ``tower`` if there is one; keys unknown to the dialect keep their names."""
        raise NotImplementedError

    def for_model(self, keys: Collection[str]) -> 'Dialect':
        """The layout as it is read into a model with these keys, which may have a tower by another library's names.

        Defaults to itself.
        """
        return self

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """What a file of this layout holds, from weights in our keys, those below ``tower`` if there is one.

        Raises:
            CheckpointError: The layout is read only, or has no place for a key.
        """
        raise CheckpointError(f'the {self.name} layout is read only: {self.read_only}')

    def of_model(self, model: nn.Module) -> 'Dialect':
        """The layout as it is written for a model, where the keys alone do not tell.

        Raises:
            CheckpointError: The layout is not for such a model.
        """
        return self

    def names(self, tower: Mapping[str, Tensor]) -> int:
        """How many weights of a tower, by keys below it, a file has names for; 0: its tower is of another kind."""
        return 0

    def ignored_keys(self, weights: Iterable[str]) -> dict[str, list[str]]:
        """Reason -> foreign keys that ``to_vlpeft`` leaves out."""
        return _by_reason(self.ignored, weights)

    def kept(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights without those that are deliberately not read."""
        return {key: value for key, value in weights.items() if not _reason(self.ignored, key)}

    def is_new(self, key: str) -> bool:
        """Whether a network of this layout does not have our ``key``."""
        return any(re.match(pattern, key) for pattern in self.new)

    def dropped_keys(self, state: Iterable[str]) -> dict[str, list[str]]:
        """Reason -> our keys that ``from_vlpeft`` leaves out."""
        return _by_reason(self.dropped, state)


class RenamingDialect(Dialect):
    """A layout of the same tensors under other names."""

    keymap: KeyMap
    #: (name, alias): the alias holds the same tensor; read, compared and written.
    aliases: KeyMap = KeyMap([])
    #: (name, other): one tensor in the foreign model, perhaps two in ours; each is read as it is, and both are written.
    ties: Sequence[tuple[str, str]] = ()
    #: (name, other spelling): read only.
    synonyms: KeyMap = KeyMap([])
    #: (foreign prefix, ours): to which part a key belongs that the table does not know.
    places: Sequence[tuple[str, str]] = ()
    #: Foreign prefixes of the text towers, each with a constant table of position ids.
    texts: Sequence[str] = ()

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As :class:`Dialect`; unknown keys are below those of their parts.

        Raises:
            CheckpointError: Two names of one tensor hold different values.
        """
        return self.to_ours(self.kept(weights))

    def to_ours(self, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our names of weights that are read; errors as :meth:`to_vlpeft`."""
        found: dict[str, tuple[str, Tensor]] = {}
        conflicts = []
        for key, tensor in kept.items():
            name = self.aliases.to_ours(key) or self.synonyms.to_ours(key) or key
            first, value = found.setdefault(name, (key, tensor))
            if value is not tensor and not torch.equal(value, tensor):
                conflicts.append(f'{first} != {key}')
        if conflicts:
            raise CheckpointError(
                f'{self.name} checkpoint: names of one shared tensor disagree ({len(conflicts)}): '
                + ', '.join(conflicts[:5])
            )
        return {self.keymap.to_ours(name) or self._place(name): tensor for name, (_, tensor) in found.items()}

    def _place(self, name: str) -> str:
        return next((ours + name[len(theirs) :] for theirs, ours in self.places if name.startswith(theirs)), name)

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """What a file of this layout holds.

        Raises:
            CheckpointError: As :meth:`rename`.
        """
        return self.wrap(self.rename(state))

    def names(self, tower: Mapping[str, Tensor]) -> int:
        """How many weights of a tower, by keys below it, the table has."""
        return sum(self.keymap.to_theirs(key) is not None for key in tower)

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Foreign names; aliases, tied names and position ids included; declared keys left out.

        Raises:
            CheckpointError: A key has no name in this layout, or tensors that it ties differ.
        """
        kept = [key for key in state if not _reason(self.dropped, key)]
        names = {key: self.keymap.to_theirs(key) for key in kept}
        unknown = [key for key, name in names.items() if name is None]
        if unknown:
            raise CheckpointError(
                f'the {self.name} layout has no place for {len(unknown)} keys: ' + ', '.join(unknown[:5])
            )
        weights = {name: state[key] for key, name in names.items()}
        for key, name in names.items():
            for alias in self.aliases.renames:
                other = alias.to_theirs(name)
                if other in weights and not torch.equal(weights[other], state[key]):
                    raise CheckpointError(
                        f'the {self.name} layout has one tensor for {name} and {other}, but their '
                        'values differ in the model'
                    )
                if other:
                    weights[other] = state[key]
        for name, other in self.ties:
            if name in weights and not torch.equal(weights.setdefault(other, weights[name]), weights[name]):
                raise CheckpointError(
                    f'the {self.name} layout has one tensor for {name} and {other}, but their values '
                    'differ in the model'
                )
        for text in self.texts:
            positions = weights.get(f'{text}.embeddings.position_embeddings.weight')
            if positions is not None:
                weights[f'{text}.embeddings.position_ids'] = torch.arange(len(positions))[None]
        return weights

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Put the renamed weights where the layout keeps them. Defaults to the weights themselves."""
        return weights


def _reason(rules: Rules, key: str) -> str:
    return next((reason for pattern, reason in rules if re.match(pattern, key)), '')


def _by_reason(rules: Rules, keys: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in keys:
        if reason := _reason(rules, key):
            found.setdefault(reason, []).append(key)
    return found
