r"""Compacter: bottlenecks whose maps are sums of Kronecker products (PHM layers).

    h ← h + f(h),   f(u) = φ(u W_down + b_down) W_up + b_up
    W = Σ_{i=1..n} A_i ⊗ B_i,   A_i ∈ R^{n×n},   B_i ∈ R^{in/n × out/n}

so that a map of in × out numbers has n³ + in · out / n. The A_i, the rule, may be one for the whole model, and B_i a
product L_i R_i of rank k, with k (in + out) numbers for all i together.

Karimi Mahabadi et al., "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers", NeurIPS 2021.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import SiteError, Tower

from .bottleneck import BottleneckAdapter
from .bottleneck_layer import GELU, BottleneckLayer, check_size


class PHMRule(nn.Module):
    """The n matrices A_i, ``phm_rule`` (n, n, n), drawn from N(0, 0.01)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.phm_rule = nn.Parameter(torch.randn(n, n, n) * 0.01)


class PHMLinear(nn.Module):
    """The map x W + b. B_i, or both of its factors, start Glorot-uniform with gain √2, b at zero.

    Args:
        in_features, out_features: Its widths, multiples of n.
        n: Number of Kronecker products.
        rank: k of the B_i; None for whole ones.
        rule: A_i that others use too; None for its own.
    """

    def __init__(self, in_features: int, out_features: int, n: int, rank: int | None, rule: PHMRule | None) -> None:
        super().__init__()
        self.rule = PHMRule(n) if rule is None else None
        # In a tuple: it is the method's, which holds it once.
        self.shared = () if rule is None else (rule,)
        rows, columns = in_features // n, out_features // n
        if rank is None:
            self.W = _glorot(n, rows, columns)
        else:
            self.W_left, self.W_right = _glorot(n, rows, rank), _glorot(n, rank, columns)
        self.b = nn.Parameter(torch.zeros(out_features))

    @property
    def weight(self) -> Tensor:
        """W, (in, out)."""
        blocks = self.W if hasattr(self, 'W') else self.W_left @ self.W_right
        rule = self.rule or self.shared[0]
        return torch.einsum('iac,ikp->akcp', rule.phm_rule, blocks).flatten(2).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(…, out) of (…, in)."""
        return x @ self.weight + self.b


def _glorot(*shape: int) -> nn.Parameter:
    blocks = torch.empty(shape)
    for block in blocks:
        nn.init.xavier_uniform_(block, gain=math.sqrt(2))
    return nn.Parameter(blocks)


@ADAPTERS.register_module()
class Compacter(BottleneckAdapter):
    """Compacter after the chosen sub-layers. The defaults are those of VL-PET's code: 2 products, all of them whole.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`. Without ``linears`` the outputs of sub-layers, connectors
            and patch embeddings are adapted, with it the outputs of linear maps.
        bottleneck: r. Defaults to 96.
        phm_dim: n, which divides r and the widths. Defaults to 2.
        share_rule: Whether the A_i are one for all maps, as in the paper. Defaults to False: each map has its own.
        rank: k of the B_i; 1 in the paper. Defaults to None: the B_i are whole.
        act_cfg: φ. Defaults to the tanh form of GELU.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist, or n does not divide a
            width.
        ValueError: n does not divide r, or a size is no positive integer.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        bottleneck: int = 96,
        phm_dim: int = 2,
        share_rule: bool = False,
        rank: int | None = None,
        act_cfg: Mapping = GELU,
    ) -> None:
        super().__init__(towers, targets, form='sequential', position='branch', tasks=None, share='none')
        for option, value in dict(bottleneck=bottleneck, phm_dim=phm_dim, rank=1 if rank is None else rank).items():
            check_size(option, value)
        if bottleneck % phm_dim:
            raise ValueError(f'Compacter: phm_dim={phm_dim} does not divide bottleneck={bottleneck}')
        self.rule = PHMRule(phm_dim) if share_rule else None

        def linear(in_features: int, out_features: int) -> PHMLinear:
            return PHMLinear(in_features, out_features, phm_dim, rank, self.rule)

        def layer(in_features: int, out_features: int) -> BottleneckLayer:
            if in_features % phm_dim:
                raise SiteError(f'Compacter: phm_dim={phm_dim} does not divide the width {in_features} of a place')
            return BottleneckLayer(in_features, out_features, bottleneck, init=None, act_cfg=act_cfg, linear=linear)

        self.build(towers, layer)
