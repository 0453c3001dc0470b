"""Which of several adapter sets on the same frozen weights acts, for a whole batch or sample by sample, and for which
task.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from .schema import SiteError


@dataclass(frozen=True)
class PerSample:
    """A set for each sample of a batch.

    Attributes:
        names: Of the sets, None for the bare backbone; one for each sample.
        rows_each: How many rows, side by side, a sample may have where it has more than one, as beams and frames do.
    """

    names: tuple[str | None, ...]
    rows_each: int = 1

    def rows_of(self, name: str, count: int) -> list[int] | None:
        """Which of ``count`` rows belong to a set's samples; None where the rows are not those of the samples."""
        if count == len(self.names):
            each = 1
        elif count == len(self.names) * self.rows_each:
            each = self.rows_each
        else:
            return None
        return [i * each + j for i, own in enumerate(self.names) if own == name for j in range(each)]


class AdapterSwitch:
    """Holds the name of the active set; sets of other names stay attached but silent.

    The scopes are nestable. Cached keys and values, and vision tokens, belong to the set they were computed under. They
    hold for all threads, so that a generation started in a thread of its own, as for streaming, runs under the set that
    its starter chose; therefore only one thread may have scopes open.

    Attributes:
        active: Name of the acting set, None for the bare backbone, or :class:`PerSample`. Defaults to ``'default'``.
        current_task: Task of the batch, for methods that have something of their own for each; None where nobody has
            named it. Defaults to None.
    """

    def __init__(self) -> None:
        self.active: str | None | PerSample = 'default'
        self.current_task: str | None = None
        self._open: list[int] = []

    @contextmanager
    def use(self, active: str | None | PerSample) -> Iterator[None]:
        """Makes ``active`` what acts inside the ``with`` block.

        Raises:
            SiteError: Another thread is inside such a block.
        """
        thread = threading.get_ident()
        if any(other != thread for other in self._open):
            raise SiteError(
                'another thread has chosen the set that acts, and there is one choice for the whole model; run one '
                'after the other, or give the samples of one batch their sets with adapter.per_sample(names)'
            )
        self._open.append(thread)
        try:
            with self._as_now(active, self.current_task):
                yield
        finally:
            self._open.remove(thread)

    def per_sample(self, names: Sequence[str | None], rows_each: int = 1) -> AbstractContextManager[None]:
        """Inside the ``with`` block each sample of a batch has its own set. Arguments as of :class:`PerSample`."""
        return self.use(PerSample(tuple(names), rows_each))

    @contextmanager
    def task(self, name: str | None) -> Iterator[None]:
        """Inside the ``with`` block batches are of this task; None for of no named one."""
        with self._as_now(self.active, name):
            yield

    def contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """``context_fn`` of ``torch.utils.checkpoint``: recomputing happens in ``backward``, outside any scope, and
        must run under the set that was active in the forward pass, and for its task.
        """
        return nullcontext(), self._as_now(self.active, self.current_task)

    @contextmanager
    def _as_now(self, active: str | None | PerSample, task: str | None) -> Iterator[None]:
        """Whichever thread this is: on a GPU backward passes run in one of their own."""
        previous = self.active, self.current_task
        self.active, self.current_task = active, task
        try:
            yield
        finally:
            self.active, self.current_task = previous

    def __getstate__(self) -> dict[str, Any]:
        """A copy keeps what acts, and is inside of no block."""
        return {**self.__dict__, '_open': []}
