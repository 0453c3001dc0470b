"""What every method is: modules of its own, and bindings that say at which sites they act."""

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.sites import Binding, Tower


class Adapter(nn.Module):
    """Base of all methods.

    A method builds and initialises its parameters in its constructor, from the towers' widths and depths alone.
    Parameters that it leaves with ``requires_grad=False`` are declared frozen; all others are trained.

    Args:
        towers: The frozen backbones by name.
    """

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        super().__init__()

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        """Yields what to do at which site, in the order in which it acts."""
        raise NotImplementedError(f'{type(self).__name__} has no bindings')

    def role_of(self, name: str) -> str:
        """The role under which the parameter ``name`` is counted. Defaults to ``'adapter'``."""
        return 'adapter'
