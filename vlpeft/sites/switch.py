"""Which of several adapter sets on the same frozen weights acts."""

from collections.abc import Iterator
from contextlib import contextmanager


class AdapterSwitch:
    """Holds the name of the active set; sets of other names stay attached but silent.

    The scope is nestable. Cached keys and values, and vision tokens, belong to the set they were computed under.

    Attributes:
        active: Name of the acting set, or None for the bare backbone. Defaults to ``'default'``.
    """

    def __init__(self) -> None:
        self.active: str | None = 'default'

    @contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Makes ``name`` the active set inside the ``with`` block."""
        previous, self.active = self.active, name
        try:
            yield
        finally:
            self.active = previous
