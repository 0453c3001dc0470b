"""A linear map of a backbone as layers of other libraries want to hold it, without being held."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.sites import LinearSite, bias_rows, weight_rows


class FrozenMaps(nn.Module):
    """A model of frozen maps alone, by the names that they shall have.

    Args:
        maps: The maps.
    """

    def __init__(self, maps: Mapping[str, 'FrozenLinear']) -> None:
        super().__init__()
        for name, own in maps.items():
            self.add_module(name, own)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Those that a library has added; before, one of the backbone's, at which it looks for device and format."""
        added = list(super().parameters(recurse))
        return iter(added or [next(next(self.children()).frozen[0].parameters())])


class FrozenLinear(nn.Linear):
    """Stands in for a frozen map, or for its part of a fused one: y = x Wᵀ + b with the backbone's own numbers.

    It has no parameter and no key of its own. Asked for the output of an input that has passed the map, it answers with
    a copy of what the map has returned, since libraries add to what they get in its place.

    Args:
        module: The map.
        site: Where it is.

    Raises:
        SiteError: The map is quantised.
    """

    def __init__(self, module: nn.Module, site: LinearSite) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = site.in_features, site.out_features
        # In a tuple: a module of the backbone is no part of the method's.
        self.frozen, self.span = (module,), site.span
        self.passed: tuple[Tensor, Tensor] | None = None
        self.was_asked = False
        weight_rows(module, site.span)

    @property
    def weight(self) -> Tensor:
        """W (out, in)."""
        return weight_rows(self.frozen[0], self.span).detach()

    @property
    def bias(self) -> Tensor | None:
        """b (out,)."""
        found = bias_rows(self.frozen[0], self.span)
        return None if found is None else found.detach()

    def plain(self, x: Tensor) -> Tensor:
        """x Wᵀ + b."""
        weight, bias = (None if part is None else part.to(x.dtype) for part in (self.weight, self.bias))
        return F.linear(x, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.passed is not None and x is self.passed[0]:
            self.was_asked = True
            return self.passed[1].clone()
        return self.plain(x)
