r"""UniAdapter: one bottleneck per depth, its down-projection shared by vision, text and their fusion.

    d   = Dropout(ReLU(W_down LN(x) + b))
    a_v = s · Up_v(d)                                vision block, x = the stream before the FFN
    a_t = s · Up_t(d)                                text block,   x = self-attention output
    a_m = s · LN_cross(Up_m(d) + Up_t(d))            text block,   x = cross-attention output

Each is added to the output of the block's FFN; a multimodal pass adds a_t + a_m, of which a_t is the *query residual*.
The optional key/value adapter adds s·W₂W₁E to the keys and values of every cross-attention.

Lu et al., "UniAdapter: Unified Parameter-Efficient Transfer Learning for Cross-modal Modeling", ICLR 2024.
"""

import math
from typing import Iterator, Mapping, Optional

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Tower

from .base import Adapter

VISION, TEXT = 'vision', ('text', 'decoder')
INITS = ('released', 'identity')


class UniAdapterLayer(nn.Module):
    """The module of one depth, used by the blocks of that depth in every tower.

    Args:
        width: D.
        bottleneck: r.
        scale: Fixed factor on the output. Defaults to 0.1.
        dropout: Rate after the non-linearity. Defaults to 0.
    """

    def __init__(self, width: int, bottleneck: int, scale: float = 0.1, dropout: float = 0.) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.LayerNorm(width)
        self.norm_cross = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.up_text = nn.Linear(bottleneck, width)
        self.up_multimodal = nn.Linear(bottleneck, width)
        self.up_vision = nn.Linear(bottleneck, width)

    def bottleneck(self, x: Tensor) -> Tensor:
        """(…, D) to the shared code (…, r)."""
        return self.dropout(torch.relu(self.down(self.norm(x))))

    def visual(self, x: Tensor) -> Tensor:
        return self.scale * self.up_vision(self.bottleneck(x))

    def text(self, x: Tensor) -> Tensor:
        return self.scale * self.up_text(self.bottleneck(x))

    def multimodal(self, x: Tensor) -> Tensor:
        d = self.bottleneck(x)
        return self.scale * self.norm_cross(self.up_multimodal(d) + self.up_text(d))

    def add_visual(self, y: Tensor, x: Tensor) -> Tensor:
        """Vision block: FFN output ``y``, its residual input ``x``, both (B, N, D)."""
        return y + self.visual(x)

    def add_text(self, y: Tensor, s: Tensor, c: Optional[Tensor]) -> Tensor:
        """Text block: FFN output ``y``, self-attention output ``s``, cross-attention output ``c`` or None."""
        y = y + self.text(s)
        return y if c is None else y + self.multimodal(c)


class KeyValueAdapter(nn.Module):
    """A linear low-rank change of one projection of the vision tokens: s · W_up(W_down E).

    Args:
        context_width: Width of E.
        width: Width of the keys or values.
        bottleneck: r_kv.
    """

    def __init__(self, context_width: int, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(context_width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def add(self, projected: Tensor, context: Tensor) -> Tensor:
        """Adds the change to ``projected`` (B, S, D) of ``context`` (B, S, Dc)."""
        return projected + self.scale * self.up(self.down(context))


@ADAPTERS.register_module()
class UniAdapter(Adapter):
    """UniAdapter: one bottleneck per depth shared by the vision and text towers and their fusion.

    Args:
        towers: ``vision`` and ``text`` (and ``decoder``) of equal depth and width.
        bottleneck: r. Defaults to 128.
        kv_bottleneck: Width of the key/value adapters of the cross-attentions, one pair per text tower. Defaults to
            None, no such adapters.
        init: ``'released'``: only Up_t starts at zero, so the model starts near the base but not at it;
            ``'identity'``: Up_t, Up_v and LN_cross's gain start at zero and the model starts exactly at the base
            (but for key/value adapters). Defaults to ``'released'``.
        train_cross_norm: Whether LN_cross is trained; the released code froze it by accident. Defaults to True.
        scale: s. Defaults to 0.1.
        dropout: Rate inside the bottleneck. Defaults to 0.

    Raises:
        SiteError: Towers differ in depth or width, or lack a needed site.
        ValueError: Unknown ``init``, or ``'identity'`` with a frozen LN_cross (it could never leave zero).
    """

    def __init__(self,
                 towers: Mapping[str, Tower],
                 bottleneck: int = 128,
                 kv_bottleneck: Optional[int] = None,
                 init: str = 'released',
                 train_cross_norm: bool = True,
                 scale: float = 0.1,
                 dropout: float = 0.) -> None:
        super().__init__(towers)
        if init not in INITS:
            raise ValueError(f'UniAdapter: init={init!r}; choose from {INITS}')
        if init == 'identity' and not train_cross_norm:
            raise ValueError("UniAdapter: init='identity' zeroes LN_cross's gain, which train_cross_norm=False would "
                             'keep at zero for ever')
        shapes = {name: (len(tower.blocks), tower.width) for name, tower in towers.items()}
        if len(set(shapes.values())) != 1:
            raise SiteError('UniAdapter shares one module per depth, but the towers differ in (depth, width): '
                            f'{shapes}')
        depth, width = next(iter(shapes.values()))
        self.layers = nn.ModuleList(UniAdapterLayer(width, bottleneck, scale, dropout) for _ in range(depth))
        for layer in self.layers:
            self._init_layer(layer, init)
            layer.norm_cross.requires_grad_(train_cross_norm)
        if kv_bottleneck is not None:
            self.kv_adapters = nn.ModuleDict()
            for name in self._text_towers(towers):
                linears = towers[name].sublayer(0, 'cross_attn', 'UniAdapter').linears
                self.kv_adapters[name] = nn.ModuleDict({
                    key: KeyValueAdapter(linears[role].in_features, linears[role].out_features, kv_bottleneck)
                    for key, role in (('key', 'k'), ('value', 'v'))
                })
        self.kv_bottleneck = kv_bottleneck

    @staticmethod
    def _init_layer(layer: UniAdapterLayer, init: str) -> None:
        nn.init.kaiming_uniform_(layer.down.weight, a=math.sqrt(5))
        for linear in (layer.up_text, layer.up_multimodal, layer.up_vision):
            nn.init.normal_(linear.weight, std=0.02)
        for linear in (layer.down, layer.up_text, layer.up_multimodal, layer.up_vision):
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(layer.up_text.weight)
        if init == 'identity':
            nn.init.zeros_(layer.up_vision.weight)
            nn.init.zeros_(layer.norm_cross.weight)

    @staticmethod
    def _text_towers(towers: Mapping[str, Tower]) -> list:
        return [name for name in towers if name in TEXT]

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for depth, layer in enumerate(self.layers):
            if VISION in towers:
                ffn = towers[VISION].sublayer(depth, 'ffn', 'UniAdapter')
                yield Binding(VISION, depth, (ffn.x, ), ffn.y, layer, 'add_visual')
            for name in self._text_towers(towers):
                self_attn, cross_attn, ffn = (
                    towers[name].sublayer(depth, kind, 'UniAdapter') for kind in ('self_attn', 'cross_attn', 'ffn'))
                yield Binding(name, depth, (self_attn.y, cross_attn.y), ffn.y, layer, 'add_text')
                if self.kv_bottleneck is not None:
                    for key, role in (('key', 'k'), ('value', 'v')):
                        linear = cross_attn.linears[role]
                        yield Binding(name, depth, (linear.input, ), linear.output, self.kv_adapters[name][key], 'add')

    def role_of(self, name: str) -> str:
        return 'kv_adapter' if name.startswith('kv_adapters.') else 'adapter'
