"""The bottleneck f(u) = Up(φ(Down(u))) that several methods are made of."""

from collections.abc import Callable, Mapping, Sequence

import torch
from mmcv.cnn import build_activation_layer
from torch import Tensor, nn

GELU = dict(type='GELU', approximate='tanh')
INITS = ('normal', 'zero_up')
#: Which of the two maps is one for all tasks, where each task has the other for itself.
SHARES = ('none', 'down', 'up')


def check_choice(wanted_by: str, option: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f'{wanted_by}: {option}={value!r}; choose from {choices}')


def check_size(option: str, value: int, least: int = 1) -> None:
    """Raises ValueError unless ``value`` is an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f'{option}={value!r}; it is an integer of at least {least}')


def check_rate(option: str, value: float) -> None:
    """Raises ValueError unless ``value`` is a rate that leaves something, 0 ≤ value < 1."""
    if not 0 <= value < 1:
        raise ValueError(f'{option}={value!r}; it is a number of at least 0 and below 1')


def check_scale(option: str, value: float) -> None:
    """Raises ValueError if ``value`` is zero: nothing behind that factor could be trained."""
    if value == 0:
        raise ValueError(f'{option}={value!r}; with it nothing would be trained')


def activation_of(act_cfg: Mapping) -> nn.Module:
    """The activation of a config.

    Raises:
        ValueError: It names none.
    """
    try:
        return build_activation_layer(dict(act_cfg))
    except (KeyError, TypeError, ValueError) as error:
        text = str(error.args[0]).splitlines()[0] if error.args else error
        raise ValueError(
            f"act_cfg={act_cfg!r}; it is the config of an activation, such as dict(type='ReLU') ({text})"
        ) from None


def draw_normal(module: nn.Module) -> None:
    """Weights of all linear maps from N(0, 0.02), biases zero."""
    for linear in module.modules():
        if isinstance(linear, nn.Linear):
            nn.init.normal_(linear.weight, std=0.02)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)


def draw_clamped(module: nn.Module) -> None:
    """Weights and biases of all linear maps from N(0, 1e-3), clamped to ±2e-3."""
    for linear in module.modules():
        for parameter in linear.parameters() if isinstance(linear, nn.Linear) else ():
            with torch.no_grad():
                nn.init.normal_(parameter, std=1e-3).clamp_(-2e-3, 2e-3)


def zero(linear: nn.Linear) -> None:
    """Weight and bias zero."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


class PerTask(nn.ModuleDict):
    """A map of its own for each task."""


class BottleneckLayer(nn.Module):
    """One bottleneck.

    Args:
        in_features, out_features: Widths of u and f(u).
        bottleneck: r.
        scale: s, a factor on f(u) where it is added. Defaults to 1.
        init: ``'normal'``: weights N(0, 0.02), biases zero; ``'zero_up'``: torch's default, then the up-projection
            zero; ``'clamped'``: all from N(0, 1e-3), clamped to ±2e-3; None: as ``linear`` draws its own. Defaults to
            ``'normal'``.
        act_cfg: φ. Defaults to the tanh form of GELU.
        norms: Whether a LayerNorm comes before the down-projection, and after the up-projection. Defaults to neither.
        residual: Whether f(u) is added to what it changes, or takes its place. Defaults to True.
        tasks: Tasks that have maps of their own; norms are one for all. Defaults to none.
        share: Which map all tasks have in common, of :data:`SHARES`. Defaults to ``'none'``.
        linear: Makes a map of two widths. Defaults to ``nn.Linear``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bottleneck: int,
        scale: float = 1.0,
        init: str | None = 'normal',
        act_cfg: Mapping = GELU,
        norms: tuple[bool, bool] = (False, False),
        residual: bool = True,
        tasks: Sequence[str] = (),
        share: str = 'none',
        linear: Callable[[int, int], nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        check_size('bottleneck', bottleneck)
        check_scale('scale', scale)
        self.scale, self.residual = scale, residual

        def maps(side: str, *widths: int) -> nn.Module:
            if not tasks or share == side:
                return linear(*widths)
            return PerTask({task: linear(*widths) for task in tasks})

        self.norm_before = nn.LayerNorm(in_features) if norms[0] else None
        self.down = maps('down', in_features, bottleneck)
        self.activation = activation_of(act_cfg)
        self.up = maps('up', bottleneck, out_features)
        self.norm_after = nn.LayerNorm(out_features) if norms[1] else None
        if init == 'normal':
            draw_normal(self)
        elif init == 'clamped':
            draw_clamped(self)
        elif init == 'zero_up':
            for up in self.up.values() if isinstance(self.up, PerTask) else [self.up]:
                zero(up)

    def forward(self, u: Tensor, task: str | None = None) -> Tensor:
        """f(u), (…, out_features) of (…, in_features), by the maps of ``task`` where it has its own."""
        down, up = (maps[task] if isinstance(maps, PerTask) else maps for maps in (self.down, self.up))
        if self.norm_before is not None:
            u = self.norm_before(u)
        change = up(self.activation(down(u)))
        return change if self.norm_after is None else self.norm_after(change)

    def add_parallel(self, y: Tensor, u: Tensor, task: str | None = None) -> Tensor:
        """y + s · f(u), without residual s · f(u)."""
        change = self(u, task)
        return torch.add(y, change, alpha=self.scale) if self.residual else self.scale * change

    def add_sequential(self, y: Tensor, task: str | None = None) -> Tensor:
        """y + s · f(y), without residual s · f(y)."""
        return self.add_parallel(y, y, task)

    def add_to_sum(self, y: Tensor, x: Tensor, task: str | None = None) -> Tensor:
        """y + s · f(x + y), without residual s · f(x + y)."""
        return self.add_parallel(y, x + y, task)
