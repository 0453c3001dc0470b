"""Several trained checkpoints of one config on one base, by name: weights are swapped, not the model."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vlpeft.adaptation.sets import DEFAULT
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.fit import MOMENTUM
from vlpeft.checkpoint.trained import fit_trained, put_trained
from vlpeft.models.tasks.base import AdaptedModel
from vlpeft.nearest import suggestion

#: For messages: where the weights of the base stand alone.
BASE = 'base'


class Marks(NamedTuple):
    """What a model knows of where its weights are from, see :class:`AdaptedModel`."""

    base_keys: frozenset[str]
    grown: Mapping[str, int]
    filled: frozenset[str]


class AdapterState(NamedTuple):
    """Weights of a model by state-dict key, and its marks."""

    weights: Mapping[str, Tensor]
    marks: Marks


class NamedAdapters:
    """Checkpoints of one config by name, on one model.

    A checkpoint gives the method's weights and whatever else was trained or replaced. Between two calls of
    :meth:`using` the model is as a fresh one with the ``default``, bit for bit. Threads take turns.

    Args:
        model: With its base, and nothing trained in it; in eval mode, in the number format and on the device in which
            it is used.
        quantised: Whether the base is in 8 or 4 bits; there is room for one checkpoint then. Defaults to False.
        base_first: Whether the base alone acts where no name is given. Defaults to False: the first checkpoint does.

    Attributes:
        default: Name of what acts where no name is given; None for the base alone.
        lock: Held by the thread that uses the model.
        files: Of the checkpoints, by name.
    """

    def __init__(self, model: AdaptedModel, quantised: bool = False, base_first: bool = False) -> None:
        self.model, self.quantised, self.base_first = model, quantised, base_first
        self.default: str | None = None
        self.lock = threading.RLock()
        self.files: dict[str, Path] = {}
        self._base: dict[str, Tensor] = {}
        self._marks = self._marks_now()
        self._states: dict[str, AdapterState] = {}
        self._now: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the checkpoints, in the order in which they were added."""
        return tuple(self._states)

    @property
    def kept(self) -> tuple[str, ...]:
        """Trained parts beside the method that no file of the base holds, which keep the values of the first checkpoint
        while the adapters are switched off. Whole parts of the model, or single parameters.
        """
        changed = {name for name, _ in self.model.named_parameters() if name in self._base}
        kept = {name for name in changed if self._is_kept(name)}
        parts = {}
        for name, _ in self.model.named_parameters():
            parts.setdefault(name.partition('.')[0], set()).add(name)
        found = [name for part, names in parts.items() for name in ([part] if names <= kept else sorted(names & kept))]
        return tuple(name for name in found if not name.startswith(MOMENTUM) and name != MOMENTUM.rstrip('.'))

    def add(self, name: str, path: str | Path) -> None:
        """Reads a checkpoint under a name, which acts in :meth:`using` alone, unless it is the first.

        Args:
            name: A text of one's choice, but 'base'.
            path: Local file.

        Raises:
            ValueError: The name is taken, empty or 'base'; or the base is quantised and holds a checkpoint already.
            FileNotFoundError, CheckpointError: As :func:`~vlpeft.checkpoint.trained.load_trained`; nothing has
                changed then.
        """
        with self.lock:
            self._check_new(name)
            before = self._now
            self._put(None)
            try:
                self._states[name] = self._read(path)
                self.files[name] = Path(path)
                self._now = name
                if len(self._states) == 1 and not self.base_first:
                    before = self.default = name
            finally:
                self._put(before)

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Inside the ``with`` block a checkpoint acts, or with None the base alone.

        Switched off, the method does not act, and every other trained weight has the value that the base's file holds;
        those of :attr:`kept` have that of the first checkpoint.

        Raises:
            ValueError: There is no such name; or the base is quantised, or the method was merged into the weights, and
                another one than the default is asked for.
        """
        with self.lock:
            self.check(name)
            self._put(name)
            try:
                with self.model.switch.use(None if name is None else DEFAULT):
                    yield
            finally:
                self._put(self.default)

    def check(self, name: str | None) -> None:
        """Refuses names that there are not. Errors: :meth:`using`."""
        if name is not None and not (isinstance(name, str) and name in self._states):
            there = f'{suggestion(str(name), self._states)}' if self._states else '; none was loaded'
            raise ValueError(f'there is no adapter {name!r}{there}; None switches adapters off')
        if name == self.default:
            return
        if self.quantised:
            raise ValueError(
                'the base is quantised, so its adapter can be neither switched off nor exchanged; load the base '
                'unquantised (quantization=None) to compare adapters'
            )
        self._check_hooked()

    def _check_hooked(self) -> None:
        if self.model.adapter is not None and DEFAULT not in self.model.sets.attachments:
            raise ValueError(
                f'{self.model.method} was merged into the weights or taken off, so adapters cannot be switched; build '
                'the model anew'
            )

    def _check_new(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'an adapter needs a name, got {name!r}')
        if name == BASE:
            raise ValueError(f'{BASE!r} is the model without adapters (adapter=None); choose another name')
        if name in self._states:
            raise ValueError(f'there is an adapter {name!r} already; adapters: {", ".join(self._states)}')
        if self.quantised and self._states:
            raise ValueError('the base is quantised, so it has room for one adapter, which is not exchanged')
        self._check_hooked()

    def _read(self, path: str | Path) -> AdapterState:
        """Puts a checkpoint into the model, which holds the base alone, and keeps what it changes."""
        trained = fit_trained(self.model, Checkpoint.read(path))
        present = self.model.state_dict()
        method = {key for key in present if key.startswith(('adapter.', MOMENTUM))}
        changed = trained.state.keys() | method
        for key in sorted(changed - self._base.keys()):
            self._base[key] = present[key].clone()
        put_trained(self.model, trained)
        present = self.model.state_dict()
        return AdapterState({key: present[key].clone() for key in changed}, self._marks_now())

    def _is_kept(self, key: str) -> bool:
        return not key.startswith('adapter.') and (key not in self._marks.filled or key in self._marks.grown)

    def _switched_off(self) -> dict[str, Tensor]:
        """What stands in the model while adapters are off, of the weights that some checkpoint changes."""
        values = dict(self._base)
        first = next(iter(self._states.values()), None)
        for key in () if first is None else first.weights.keys() & values.keys():
            if not self._is_kept(key):
                continue
            # Of a table of words the file may hold the first rows only.
            rows = self._marks.grown.get(key, 0)
            values[key] = torch.cat([self._base[key][:rows], first.weights[key][rows:]]) if rows else first.weights[key]
        return values

    def _put(self, name: str | None) -> None:
        """Puts a checkpoint, or the base alone, into the model."""
        if name == self._now:
            return
        weights, marks = self._states[name] if name is not None else (self._switched_off(), self._marks)
        self.model.load_state_dict({**self._base, **weights}, strict=False)
        self.model.base_keys, self.model.grown, self.model.filled = marks.base_keys, marks.grown, set(marks.filled)
        self._now = name

    def _marks_now(self) -> Marks:
        model = self.model
        return Marks(frozenset(model.base_keys), dict(model.grown), frozenset(model.filled))
