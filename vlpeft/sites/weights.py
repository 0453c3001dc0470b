"""The weights of linear maps, however a backbone stores them."""

import torch
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


@torch.no_grad()
def gain_offset(norm: nn.Module) -> int:
    """What a norm adds to its weight to get its gain: 1 in Gemma's, whose gains are 1 + weight, 0 in most."""
    weight, bias = numbers_of(norm), numbers_of(norm, 'bias')
    # As many ones as minus ones: normalised by mean and variance or by the root mean square, they keep their signs.
    signs = torch.ones_like(weight)
    signs[1::2] = -1
    signs[len(signs) // 2 * 2 :] = 0
    size = (len(signs) / signs.abs().sum()) ** 0.5
    # Its `forward`, past the hooks: a method may be attached to it.
    gains = (norm.forward(signs) - (0 if bias is None else bias)) / size * signs
    return round((gains - weight)[signs != 0].float().median().item())


def has_bias(module: nn.Module) -> bool:
    """Whether a map adds a bias; quantised ones hand it out by a call."""
    bias = getattr(module, 'bias', None)
    return (bias() if callable(bias) else bias) is not None
