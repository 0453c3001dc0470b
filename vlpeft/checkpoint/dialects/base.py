"""What a dialect is: a checkpoint layout, the way from it to our keys and back, and what it leaves behind on each."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .keymap import KeyMap

Rules = Sequence[tuple[str, str]]


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict inside a checkpoint: under ``state_dict``, ``model`` or ``model_state``, or the checkpoint itself.

    Returns:
        Empty when there is none.
    """
    for key in ('state_dict', 'model', 'model_state'):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    return {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}


class Dialect:
    """A checkpoint layout. ``ignored`` and ``dropped`` are pairs (regular expression at the key's start, reason)."""

    name: str = ''
    #: Foreign keys that are deliberately not read.
    ignored: Rules = ()
    #: Our keys that the layout cannot hold and that are deliberately not written.
    dropped: Rules = ()
    #: Parts of our models that belong to some tasks only: a model that lacks one whole leaves it in the file.
    optional_parts: Sequence[str] = ()
    #: Of a layout with one tower, the names that our models give to it; the first is that of ``to_vlpeft``.
    homes: Sequence[str] = ()
    #: Regular expressions of our keys that a network of this layout does not have: they are new in the model.
    new: Sequence[str] = ()
    #: Our tables below which a model may have new rows, and how many.
    new_rows: Mapping[str, int] = {}

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether a checkpoint has this layout."""
        raise NotImplementedError

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys; keys unknown to the dialect keep their names."""
        raise NotImplementedError

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """A checkpoint of this layout from a state dict in our keys."""
        raise NotImplementedError

    def of_model(self, model: nn.Module) -> 'Dialect':
        """The layout as it is written for a model, where the keys alone do not tell.

        Raises:
            CheckpointError: The layout is not for such a model.
        """
        return self

    def ignored_keys(self, checkpoint: Mapping[str, Any]) -> dict[str, list[str]]:
        """Reason -> foreign keys that ``to_vlpeft`` leaves out."""
        return _by_reason(self.ignored, weights_of(checkpoint))

    def at_home(self, state: Mapping[str, Tensor], parts: Iterable[str]) -> dict[str, Tensor]:
        """``state`` with its only tower under the name by which a model of these ``parts`` has it."""
        home = next((name for name in self.homes if name in parts), None)
        moved = {f'{name}.': f'{home}.' for name in self.homes if home not in (None, name)}
        return {
            next((moved[old] + key[len(old) :] for old in moved if key.startswith(old)), key): value
            for key, value in state.items()
        }

    def is_new(self, key: str) -> bool:
        """Whether a network of this layout does not have our ``key``."""
        return any(re.match(pattern, key) for pattern in self.new)

    def dropped_keys(self, state: Mapping[str, Tensor]) -> dict[str, list[str]]:
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
    texts: Sequence[str]

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys; keys unknown to the dialect keep their names, below those of their parts.

        Raises:
            CheckpointError: Two names of one tensor hold different values.
        """
        found: dict[str, tuple[str, Tensor]] = {}
        conflicts = []
        for key, tensor in weights_of(checkpoint).items():
            if _reason(self.ignored, key):
                continue
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
        """A checkpoint of this layout from a state dict in our keys.

        Raises:
            CheckpointError: As :meth:`rename`.
        """
        return self.wrap(self.rename(state))

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Foreign names; aliases, tied names and position ids included; declared keys left out.

        Raises:
            CheckpointError: A key has no name in this layout, or tensors that it ties differ.
        """
        state = self.at_home(state, self.homes[:1])
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
        """Put the renamed state dict where the layout keeps it."""
        raise NotImplementedError


def _reason(rules: Rules, key: str) -> str:
    return next((reason for pattern, reason in rules if re.match(pattern, key)), '')


def _by_reason(rules: Rules, keys: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key in keys:
        if reason := _reason(rules, key):
            groups.setdefault(reason, []).append(key)
    return groups
