"""UniAdapter's modules: the bottleneck of one depth, and the key/value adapter. Equations: ``uniadapter.py``."""

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from .bottleneck_layer import check_rate, check_scale, check_size

MODALITIES = ('vision', 'text', 'multimodal')


class UniAdapterLayer(nn.Module):
    """The module of one depth; it holds only what its modalities use, so that every parameter gets a gradient.

    Args:
        width: D.
        bottleneck: r.
        modalities: Of ``'vision'`` (Up_v), ``'text'`` (Up_t) and ``'multimodal'`` (Up_m, LN_cross and Up_t, which that
            term uses again). Defaults to all three.
        scale: Factor on the output. Defaults to 0.1.
        learn_scale: Whether the factor is trained. Defaults to False.
        dropout: Rate after the non-linearity. Defaults to 0.
    """

    def __init__(
        self,
        width: int,
        bottleneck: int,
        modalities: Collection[str] = MODALITIES,
        scale: float = 0.1,
        learn_scale: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_size('bottleneck', bottleneck)
        if not learn_scale:
            check_scale('scale', scale)
        self.scale = nn.Parameter(torch.tensor([scale])) if learn_scale else scale
        self.norm = nn.LayerNorm(width)
        if 'multimodal' in modalities:
            self.norm_cross = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        check_rate('dropout', dropout)
        self.dropout = nn.Dropout(dropout)
        self.ups = []
        for name, users in (
            ('up_text', ('text', 'multimodal')),
            ('up_multimodal', ('multimodal',)),
            ('up_vision', ('vision',)),
        ):
            if not set(users).isdisjoint(modalities):
                self.ups.append(name)
                self.add_module(name, nn.Linear(bottleneck, width))

    def reset(self, init: str) -> None:
        """Draws the weights; ``init`` as in :class:`vlpeft.adapters.UniAdapter`."""
        if init == 'normal':
            nn.init.normal_(self.down.weight, std=0.02)
        else:
            nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.down.bias)
        zeroed = dict(zero_text=('up_text',), normal=(), identity=('up_text', 'up_vision'))[init]
        for name in self.ups:
            up = self.get_submodule(name)
            nn.init.normal_(up.weight, std=0.02)
            nn.init.zeros_(up.bias)
            if name in zeroed:
                nn.init.zeros_(up.weight)
        if init == 'identity' and 'up_multimodal' in self.ups:
            nn.init.zeros_(self.norm_cross.weight)

    def bottleneck(self, x: Tensor) -> Tensor:
        """(…, D) to the shared code (…, r)."""
        return self.dropout(torch.relu(self.down(self.norm(x))))

    def term(self, modality: str) -> Callable[[Tensor, Tensor], Tensor]:
        """The method that adds the term of a modality."""
        return dict(vision=self.add_vision, text=self.add_text, multimodal=self.add_multimodal)[modality]

    def add_vision(self, y: Tensor, x: Tensor) -> Tensor:
        """Vision block: FFN output ``y``, its residual input ``x``, both (B, N, D)."""
        return y + self.scale * self.up_vision(self.bottleneck(x))

    def add_text(self, y: Tensor, s: Tensor) -> Tensor:
        """Text block: FFN output ``y``, self-attention output ``s``, both (B, L, D)."""
        return y + self.scale * self.up_text(self.bottleneck(s))

    def add_text_alone(self, y: Tensor, s: Tensor, c: Tensor | None) -> Tensor:
        """As :meth:`add_text`, but nothing in a pass that has a cross-attention output ``c``."""
        return self.add_text(y, s) if c is None else y

    def add_multimodal(self, y: Tensor, c: Tensor) -> Tensor:
        """Text block in a multimodal pass: FFN output ``y``, cross-attention output ``c``, both (B, L, D)."""
        d = self.bottleneck(c)
        return y + self.scale * self.norm_cross(self.up_multimodal(d) + self.up_text(d))


class KeyValueAdapter(nn.Module):
    """A linear low-rank change of one projection of the vision tokens: s · W_up(W_down E).

    Args:
        context_width: Width of E.
        width: Width of the keys or values.
        bottleneck: r_kv.
    """

    def __init__(self, context_width: int, width: int, bottleneck: int) -> None:
        super().__init__()
        check_size('kv_bottleneck', bottleneck)
        self.down = nn.Linear(context_width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def add(self, projected: Tensor, context: Tensor) -> Tensor:
        """Adds the change to ``projected`` (B, S, D) of ``context`` (B, S, Dc)."""
        return projected + self.scale * self.up(self.down(context))
