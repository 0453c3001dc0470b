"""Which of several adapter sets on the same frozen weights acts, for a whole batch or sample by sample, and for which
task.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass


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

    The scopes are nestable. Cached keys and values, and vision tokens, belong to the set they were computed under.

    Attributes:
        active: Name of the acting set, None for the bare backbone, or :class:`PerSample`. Defaults to ``'default'``.
        current_task: Task of the batch, for methods that have something of their own for each; None where nobody has
            named it. Defaults to None.
    """

    def __init__(self) -> None:
        self.active: str | None | PerSample = 'default'
        self.current_task: str | None = None

    @contextmanager
    def use(self, active: str | None | PerSample) -> Iterator[None]:
        """Makes ``active`` what acts inside the ``with`` block."""
        previous, self.active = self.active, active
        try:
            yield
        finally:
            self.active = previous

    def per_sample(self, names: Sequence[str | None], rows_each: int = 1) -> AbstractContextManager[None]:
        """Inside the ``with`` block each sample of a batch has its own set. Arguments as of :class:`PerSample`."""
        return self.use(PerSample(tuple(names), rows_each))

    @contextmanager
    def task(self, name: str | None) -> Iterator[None]:
        """Inside the ``with`` block batches are of this task; None for of no named one."""
        previous, self.current_task = self.current_task, name
        try:
            yield
        finally:
            self.current_task = previous

    def contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """``context_fn`` of ``torch.utils.checkpoint``: recomputing happens in ``backward``, outside any scope, and
        must run under the set that was active in the forward pass, and for its task.
        """
        return nullcontext(), self._as_now(self.active, self.current_task)

    @contextmanager
    def _as_now(self, active: str | None | PerSample, task: str | None) -> Iterator[None]:
        with self.use(active), self.task(task):
            yield
