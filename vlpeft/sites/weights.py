"""The weights of linear maps, however a backbone stores them."""

from torch import Tensor, nn

from .schema import SiteError


def is_transposed(module: nn.Module) -> bool:
    """Whether a linear map stores its weight as (in, out), as transformers' ``Conv1D`` does."""
    return hasattr(module, 'nf')


def numbers_of(module: nn.Module, name: str = 'weight') -> nn.Parameter | None:
    """A parameter of floating-point numbers; None where the module has none of that name, as a quantised map."""
    found = getattr(module, name, None)
    return found if isinstance(found, nn.Parameter) and found.is_floating_point() else None


def weight_rows(module: nn.Module, span: tuple[int, int] | None = None) -> Tensor:
    """A view (out, in) of a map's weight, of a fused one of the rows ``span``; of a norm its gains (out,).

    Raises:
        SiteError: The map is quantised.
    """
    weight = numbers_of(module)
    if weight is None:
        raise SiteError(f'{type(module).__name__} is a quantised map, whose weight cannot be read')
    whole = weight.T if is_transposed(module) else weight
    return whole if span is None else whole[span[0] : span[1]]


def bias_rows(module: nn.Module, span: tuple[int, int] | None = None) -> Tensor | None:
    """A view (out,) of a map's bias, of a fused one of the rows ``span``; None where it has none."""
    bias = numbers_of(module, 'bias')
    return bias if bias is None or span is None else bias[span[0] : span[1]]


def has_bias(module: nn.Module) -> bool:
    """Whether a map adds a bias; quantised ones hand it out by a call."""
    bias = getattr(module, 'bias', None)
    return (bias() if callable(bias) else bias) is not None
