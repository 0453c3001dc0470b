r"""BitFit: the biases of a model are tuned, nothing else.

    y ← W x + (b + o),   o ∈ R^{out} zero        at linear maps
    y ← g ⊙ n(x) + (b + o)                       at norms

The offsets o are parameters of the method's own, so that the biases stay what they are and sets can be switched.

Ben Zaken et al., "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
ACL 2022.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Targets, Tower, has_bias

from .base import Adapter, WeightChange
from .operations import Operation, check_holds_changes, operations


class Offset(nn.Module):
    """What is added to an output.

    Args:
        width: Of the output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(width))

    def add(self, y: Tensor) -> Tensor:
        """y + o, in y's format."""
        return (y + self.offset).to(y.dtype)


@ADAPTERS.register_module()
class BitFit(Adapter):
    """BitFit: offsets of the biases at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`. Of what they choose that has a bias, the bias is tuned.
        norms: Whether the biases of the norms in the same places are tuned too. Defaults to None: where the targets
            name no ``linears``.
        add_missing: Whether maps and norms without a bias get one, as all of T5 and Llama. Defaults to False.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist, or nothing that has a bias
            in a tower that they name.
    """

    def __init__(
        self, towers: Mapping[str, Tower], targets: dict, norms: bool | None = None, add_missing: bool = False
    ) -> None:
        super().__init__(towers)
        self.targets, self.norms, self.add_missing = Targets(**targets), norms, add_missing
        places = list(self._places(towers))
        self.layers = nn.ModuleDict({place.key: Offset(place.features) for place in places})
        # A tower that is named must not be left out in silence because another has biases.
        asked, found = self.targets.towers or list(towers), {place.tower for place in places}
        if not found or (self.targets.towers is not None and not found.issuperset(asked)):
            without = ', '.join(name for name in asked if name not in found)
            raise SiteError(
                f'BitFit: nothing that the targets choose has a bias (towers without: {without}); add_missing=True '
                'gives each of them one'
            )

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self._places(towers):
            yield Binding(place.tower, place.depth, (), place.output, self.layers[place.key].add)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for place in self._places(towers):
            check_holds_changes(place, 'BitFit')
            yield WeightChange(place.tower, place.path, place.span, bias=self.layers[place.key].offset)

    def role_of(self, name: str) -> str:
        return 'bias'

    def _places(self, towers: Mapping[str, Tower]) -> Iterator[Operation]:
        for place in operations(self.targets, towers, 'BitFit', self.norms):
            if self.add_missing or any(has_bias(part) for part in towers[place.tower].at(place.path).modules()):
                yield place
