"""mmpretrain's ``VisionTransformer``: pre-norm blocks, fused qkv, optional LayerScale and SwiGLU."""

from torch import nn

from ..schema import Block, LinearSite, SubLayer, Tap, Tower


def _linear(module: nn.Module, path: str) -> LinearSite:
    linear = module.get_submodule(path)
    return LinearSite(path, linear.in_features, linear.out_features)


def mmpretrain_vit(module: nn.Module, name: str) -> Tower:
    """Sites of mmpretrain's ViT."""
    width = module.embed_dims
    blocks = []
    for depth, layer in enumerate(module.layers):
        path = f'layers.{depth}'
        qkv = {
            role: LinearSite(f'{path}.attn.qkv', width, width, span=(i * width, (i + 1) * width))
            for i, role in enumerate('qkv')
        }
        swiglu = hasattr(layer.ffn, 'w12')
        fc1, fc2 = ('w12', 'w3') if swiglu else ('layers.0.0', 'layers.1')
        stream_in, stream_mid = Tap(f'{path}.ln1', 'input'), Tap(f'{path}.ln2', 'input')
        self_attn = SubLayer(
            'self_attn',
            x=stream_in,
            h=Tap(f'{path}.attn.gamma1', 'output'),
            y=stream_mid,
            linears=dict(qkv, o=_linear(module, f'{path}.attn.proj')))
        ffn = SubLayer(
            'ffn',
            x=stream_mid,
            h=Tap(f'{path}.ffn.gamma2', 'output'),
            y=Tap(f'{path}.ffn', 'output'),
            linears=dict(fc1=_linear(module, f'{path}.ffn.{fc1}'), fc2=_linear(module, f'{path}.ffn.{fc2}')))
        blocks.append(Block(depth, stream_in, dict(self_attn=self_attn, ffn=ffn)))
    return Tower(name, width, tuple(blocks), module, 'layers')
