"""What every method is: modules of its own, and bindings that say at which sites they act."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from vlpeft.sites import Binding, LinearSite, SiteError, Tower


class Adapter(nn.Module):
    """Base of all methods.

    A method builds and initialises its parameters in its constructor, from the towers' widths and depths alone.
    Parameters that it leaves with ``requires_grad=False`` are declared frozen; all others are trained.

    Args:
        towers: The frozen backbones by name.

    Attributes:
        rows_independent: Whether what it does to one sample of a batch leaves the others as they are, so that sets can
            be chosen per sample. Defaults to True.
    """

    rows_independent = True

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        super().__init__()

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        """Yields what to do at which site, in the order in which it acts."""
        raise NotImplementedError(f'{type(self).__name__} has no bindings')

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[tuple[str, LinearSite, Tensor]]:
        """Yields tower, map and ΔW (out, in), for methods that do nothing but add x ΔWᵀ to linear maps.

        Raises:
            SiteError: The method does something else, so it cannot be merged into the weights.
        """
        raise SiteError(
            f'{type(self).__name__} cannot be merged: what it does is no linear map of the input of a linear map, so '
            'no weights can hold it'
        )

    def role_of(self, name: str) -> str:
        """The role under which the parameter ``name`` is counted. Defaults to ``'adapter'``."""
        return 'adapter'
