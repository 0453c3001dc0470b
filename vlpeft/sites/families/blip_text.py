"""BLIP's BERT: post-norm, each block self-attention, cross-attention, FFN."""

from torch import nn

from ..schema import Block, LinearSite, SubLayer, Tap, Tower


def _linear(module: nn.Module, path: str) -> LinearSite:
    linear = module.get_submodule(path)
    return LinearSite(path, linear.in_features, linear.out_features)


def _attention(module: nn.Module, path: str, kind: str) -> SubLayer:
    linears = dict(q='self.query', k='self.key', v='self.value', o='output.dense')
    return SubLayer(
        kind,
        x=Tap(path, 'input'),
        h=Tap(f'{path}.output.dense', 'output'),
        y=Tap(f'{path}.output', 'output'),
        linears={role: _linear(module, f'{path}.{name}') for role, name in linears.items()},
        context=Tap(f'{path}.self.key', 'input') if kind == 'cross_attn' else None)


def blip_text(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.BlipTextEncoder`."""
    blocks = []
    for depth in range(len(module.encoder.layer)):
        path = f'encoder.layer.{depth}'
        ffn = SubLayer(
            'ffn',
            x=Tap(f'{path}.intermediate.dense', 'input'),
            h=Tap(f'{path}.output.dense', 'output'),
            y=Tap(f'{path}.output', 'output'),
            linears=dict(
                fc1=_linear(module, f'{path}.intermediate.dense'), fc2=_linear(module, f'{path}.output.dense')))
        self_attn = _attention(module, f'{path}.attention', 'self_attn')
        cross_attn = _attention(module, f'{path}.crossattention', 'cross_attn')
        sublayers = dict(self_attn=self_attn, cross_attn=cross_attn, ffn=ffn)
        blocks.append(Block(depth, self_attn.x, sublayers))
    return Tower(name, module.width, tuple(blocks), module, 'encoder.layer')
