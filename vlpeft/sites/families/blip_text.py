"""BLIP's BERT: post-norm, each block self-attention, cross-attention, FFN."""

from torch import nn

from ..paths import below
from ..schema import Block, Entrance, SubLayer, Tap, Tower
from .parts import linears, own_probe
from .registry import family


def _attention(module: nn.Module, block: str, name: str, kind: str) -> SubLayer:
    path = f'{block}.{name}'
    return SubLayer(
        kind,
        x=Tap(path, 'input'),
        h=Tap(f'{path}.output.dense', 'output'),
        y=Tap(f'{path}.output', 'output'),
        linears=linears(module, path, q='self.query', k='self.key', v='self.value', o='output.dense'),
        context=Tap(block, 'input', 'context', argument=2) if kind == 'cross_attn' else None,
    )


def _tower(module: nn.Module, name: str, root: str, head_norms: tuple[str, ...], causal: bool) -> Tower:
    blocks, block_path = [], below(root, 'encoder.layer')
    for depth in range(len(module.get_submodule(block_path))):
        path = f'{block_path}.{depth}'
        ffn = SubLayer(
            'ffn',
            x=Tap(f'{path}.intermediate.dense', 'input'),
            h=Tap(f'{path}.output.dense', 'output'),
            y=Tap(f'{path}.output', 'output'),
            linears=linears(module, path, fc1='intermediate.dense', fc2='output.dense'),
        )
        self_attn = _attention(module, path, 'attention', 'self_attn')
        cross_attn = _attention(module, path, 'crossattention', 'cross_attn')
        sublayers = dict(self_attn=self_attn, cross_attn=cross_attn, ffn=ffn)
        blocks.append(Block(depth, self_attn.x, sublayers, Tap(f'{path}.attention', 'input', 'mask', argument=2)))
    norms = [f'{sub.y.path}.LayerNorm' for block in blocks for sub in block.sublayers.values()]
    norms = (below(root, 'embeddings.LayerNorm'), *norms, *head_norms)
    width = module.get_submodule(root).width
    # Rows join after positions and the norm of the embeddings.
    entrance = Entrance(
        Tap(below(root, 'encoder'), 'input', 'inputs_embeds'),
        width,
        cache_class='SelfCache',
        heads=module.get_submodule(f'{block_path}.0.attention').heads,
    )
    cache = Tap(f'{block_path}.0', 'input', 'cache', argument=4)
    return Tower(
        name, width, tuple(blocks), module, block_path, norms, entrance, causal=causal, cache=cache, probe=own_probe
    )


@family('vlpeft.BlipTextEncoder', role='text')
def blip_text(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.BlipTextEncoder`."""
    return _tower(module, name, '', (), causal=False)


@family('vlpeft.BlipTextDecoder', role='decoder')
def blip_text_decoder(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.BlipTextDecoder`: the blocks of its ``bert``."""
    return _tower(module, name, 'bert', ('cls.predictions.transform.LayerNorm',), causal=True)
