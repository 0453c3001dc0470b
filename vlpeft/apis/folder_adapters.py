"""Several adapter folders on one model of transformers, by name: one acts at a time, or none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from vlpeft.adaptation import load_adapter
from vlpeft.adaptation.peft_folder import CONFIG
from vlpeft.models.tasks.base import AdaptedModel
from vlpeft.nearest import suggestion

#: For messages: where the model acts alone.
BASE = 'base'


def is_adapter_folder(path: object) -> bool:
    """Whether a path is a folder that ``vlpeft.attach(…).save`` or HF PEFT wrote."""
    return isinstance(path, str | Path) and (Path(path).expanduser() / CONFIG).is_file()


class FolderAdapters:
    """Adapter folders by name, on the model of transformers that a task model holds; used as
    :class:`~vlpeft.apis.named_adapters.NamedAdapters`.

    A folder gives a method and perhaps trained parts of the model itself, whose values are exchanged with it. Threads
    take turns.

    Args:
        task: The task model, which has no method of its own; in eval mode, on the device where it is used.
        attribute: Where it holds the model.
        base_first: Whether the model alone acts where no name is given. Defaults to False: the first adapter does.

    Attributes:
        default: Name of what acts where no name is given; None for the model alone.
        lock: Held by the thread that uses the model.
        kept: Parts that keep trained values when adapters are off: none, for the model's file holds them all.
    """

    kept: tuple[str, ...] = ()

    def __init__(self, task: AdaptedModel, attribute: str, base_first: bool = False) -> None:
        self.task, self.model, self.base_first = task, getattr(task, attribute), base_first
        self.default: str | None = None
        self.lock = threading.RLock()
        self._methods: dict[str, torch.nn.Module] = {}
        self._parts: dict[str, dict[str, Tensor]] = {}
        self._base: dict[str, Tensor] = {}
        self._now: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the adapters, in the order in which they were added."""
        return tuple(self._methods)

    def add(self, name: str, folder: str | Path) -> None:
        """Reads an adapter folder under a name, which acts in :meth:`using` alone, unless it is the first.

        Args:
            name: A text of one's choice, but 'base'.
            folder: Of vlpeft or of HF PEFT.

        Raises:
            ValueError: The name is taken, empty or 'base'.
            AdapterFolderError: The folder is damaged, or of another model; nothing has changed then.
        """
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'an adapter needs a name, got {name!r}')
        if name == BASE or name in self._methods:
            taken = 'is the model without adapters (adapter=None)' if name == BASE else 'is there already'
            raise ValueError(f'adapter {name!r} {taken}; choose another name')
        with self.lock:
            before = self._now
            self._put(None)
            self.task.sets.detach_all()
            try:
                method, parts = self._read(folder)
                self._methods[name], self._parts[name] = method, parts
            finally:
                for own, method in self._methods.items():
                    self.task.sets.attach(method, own)
                self._put(before)
            if len(self._methods) == 1 and not self.base_first:
                self.default = name
                self._put(name)

    def _read(self, folder: str | Path) -> tuple[torch.nn.Module, dict[str, Tensor]]:
        """The method of a folder and values of the parts that it holds; the model, which is bare, stays as it is."""
        before = {name: param.detach().clone() for name, param in self._recorded(folder).items()}
        handle = None
        try:
            handle = load_adapter(self.model, Path(folder).expanduser(), check_after=0)
            parts = {name: param.detach().clone() for name, param in handle.parts.named_parameters()}
            (method,) = handle.sets.values()
        finally:
            if handle is not None:
                handle.detach()
            self._set(before)
        for name, value in before.items():
            self._base.setdefault(name, value)
        return method, parts

    def _recorded(self, folder: str | Path) -> dict[str, torch.nn.Parameter]:
        """The parts of the model that a folder holds, as far as the model has them."""
        from vlpeft.adaptation.folder import recorded_parts

        own = dict(self.model.named_parameters())
        return {name: own[name] for name in recorded_parts(Path(folder).expanduser()) if name in own}

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Inside the ``with`` block an adapter acts, or with None the model alone.

        Raises:
            ValueError: There is no such name.
        """
        with self.lock:
            self.check(name)
            self._put(name)
            try:
                with self.task.switch.use(name):
                    yield
            finally:
                self._put(self.default)

    def check(self, name: str | None) -> None:
        """Refuses names that there are not. Errors: :meth:`using`."""
        if name is not None and name not in self._methods:
            there = suggestion(str(name), self._methods) if self._methods else '; none was loaded'
            raise ValueError(f'there is no adapter {name!r}{there}; None switches adapters off')

    def _put(self, name: str | None) -> None:
        """Gives the parts of the model the values of an adapter, or their own."""
        if name != self._now:
            self._set({**self._base, **self._parts.get(name, {})})
            self._now = name

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.model.get_parameter(name).copy_(value)
