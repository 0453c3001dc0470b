"""What every method is: modules of its own, and bindings that say at which sites they act."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vlpeft.sites import Binding, CallBinding, LinearSite, SiteError, Tower


@dataclass(frozen=True)
class WeightChange:
    """What a method does at the input x and the output y of a map, in a form that its weight and bias can hold.

        x ← in_scale ⊙ x
        y ← scale ⊙ y + x weightᵀ + bias

    Attributes:
        tower: The tower's name.
        path: Of the map, or of a norm, below the tower's root.
        span: Rows of a fused map. Defaults to None, all.
        weight: ΔW (out, in). Defaults to None, none.
        bias: (out,). Defaults to None, none; a map without a bias cannot hold one.
        scale: (out,). Defaults to None, one.
        in_scale: (in,), of a map that is not fused. Defaults to None, one.
    """

    tower: str
    path: str
    span: tuple[int, int] | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    scale: Tensor | None = None
    in_scale: Tensor | None = None

    @classmethod
    def of(cls, tower: str, site: LinearSite, **changes: Tensor | None) -> 'WeightChange':
        """The change of a linear map."""
        return cls(tower, site.path, site.span, **changes)


class Adapter(nn.Module):
    """Base of all methods.

    A method builds and initialises its parameters in its constructor, from the towers' widths and depths alone; what
    starts from their weights is set by :meth:`start_from`. Parameters that it leaves with ``requires_grad=False`` are
    declared frozen; all others are trained.

    Args:
        towers: The frozen backbones by name.

    Attributes:
        rows_independent: Whether what it does to one sample of a batch leaves the others as they are, so that sets can
            be chosen per sample. Defaults to True.
        cut_towers: Names of the towers through which it lets no gradient flow. Defaults to none.
        option_types: Names that a ``type`` inside of its options may have, beside those of the registries. Defaults to
            none.
    """

    rows_independent = True
    cut_towers: tuple[str, ...] = ()
    option_types: tuple[str, ...] = ()

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        super().__init__()

    def start_from(self, towers: Mapping[str, Tower]) -> None:
        """Sets the parameters that start from weights of the backbones, once these are there; nothing by default. Not
        called where a file gives the parameters.
        """

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding | CallBinding]:
        """Yields what to do at which site, in the order in which it acts."""
        raise NotImplementedError(f'{type(self).__name__} has no bindings')

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        """Yields, in the order in which they act, what weights and biases can hold of a method: all of it, or nothing.

        Raises:
            SiteError: The method does something else, so it cannot be merged into the weights.
        """
        raise SiteError(
            f'{type(self).__name__} cannot be merged: what it does is no linear map of the input of a linear map, so '
            'no weights can hold it'
        )

    def penalty(self) -> Tensor | None:
        """A term of the loss that depends on the method's parameters alone. Defaults to None, none."""
        return None

    def task_of(self, name: str) -> str | None:
        """The only task whose batches train the parameter ``name``. Defaults to None: those of every task do."""
        return None

    def second_factors(self) -> Iterator[nn.Parameter]:
        """The matrices B of low-rank changes B A, which LoRA+ trains faster. Defaults to none."""
        yield from ()

    def prompt_rows(self, tower: str) -> int:
        """How many rows before the texts it fills, where the caller of a language model makes room. Defaults to 0."""
        return 0

    def role_of(self, name: str) -> str:
        """The role under which the parameter ``name`` is counted. Defaults to ``'adapter'``."""
        return 'adapter'
