"""The bottleneck f(u) = Up(φ(Down(u))) that several methods are made of."""

from collections.abc import Mapping, Sequence

import torch
from mmcv.cnn import build_activation_layer
from torch import Tensor, nn

GELU = dict(type='GELU', approximate='tanh')
INITS = ('normal', 'zero_up')


def check_choice(wanted_by: str, option: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f'{wanted_by}: {option}={value!r}; choose from {choices}')


def check_size(option: str, value: int) -> None:
    """Raises ValueError unless ``value`` is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{option}={value!r}; it is an integer of at least 1')


def draw_normal(module: nn.Module) -> None:
    """Weights of all linear maps from N(0, 0.02), biases zero."""
    for linear in module.modules():
        if isinstance(linear, nn.Linear):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)


def draw_clamped(module: nn.Module) -> None:
    """All parameters from N(0, 1e-3), clamped to ±2e-3."""
    for parameter in module.parameters():
        with torch.no_grad():
            nn.init.normal_(parameter, std=1e-3).clamp_(-2e-3, 2e-3)


def zero(linear: nn.Linear) -> None:
    """Weight and bias zero."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


class BottleneckLayer(nn.Module):
    """One bottleneck.

    Args:
        in_features, out_features: Widths of u and f(u).
        bottleneck: r.
        scale: s, a factor on f(u) where it is added. Defaults to 1.
        init: ``'normal'``: weights N(0, 0.02), biases zero; ``'zero_up'``: torch's default, then the up-projection
            zero; ``'clamped'``: all from N(0, 1e-3), clamped to ±2e-3. Defaults to ``'normal'``.
        act_cfg: φ. Defaults to the tanh form of GELU.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bottleneck: int,
        scale: float = 1.0,
        init: str = 'normal',
        act_cfg: Mapping = GELU,
    ) -> None:
        super().__init__()
        check_size('bottleneck', bottleneck)
        self.scale = scale
        self.down = nn.Linear(in_features, bottleneck)
        self.activation = build_activation_layer(dict(act_cfg))
        self.up = nn.Linear(bottleneck, out_features)
        if init == 'normal':
            draw_normal(self)
        elif init == 'clamped':
            draw_clamped(self)
        else:
            zero(self.up)

    def forward(self, u: Tensor) -> Tensor:
        """f(u), (…, out_features) of (…, in_features)."""
        return self.up(self.activation(self.down(u)))

    def add_parallel(self, y: Tensor, u: Tensor) -> Tensor:
        """y + s · f(u)."""
        return torch.add(y, self(u), alpha=self.scale)

    def add_sequential(self, y: Tensor) -> Tensor:
        """y + s · f(y)."""
        return self.add_parallel(y, y)
