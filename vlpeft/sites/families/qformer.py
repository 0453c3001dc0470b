"""The Q-Former of BLIP-2 and InstructBLIP as transformers builds it: post-norm, queries that read a vision tower in
every few blocks. Where a text passes beside the queries, it has an FFN of its own, which is not published.
"""

from typing import Any

from torch import nn

from ..probe import zeros
from ..schema import Block, SubLayer, Tap, Tower
from .parts import linears
from .registry import family


def _attention(module: nn.Module, block: str, name: str, kind: str) -> SubLayer:
    path = f'{block}.{name}'
    crosses = kind == 'cross_attn'
    return SubLayer(
        kind,
        x=Tap(path, 'input', 'hidden_states'),
        h=Tap(f'{path}.output.dense', 'output'),
        y=Tap(f'{path}.output', 'output'),
        linears=linears(module, path, q='attention.query', k='attention.key', v='attention.value', o='output.dense'),
        context=Tap(path, 'input', 'encoder_hidden_states', argument=None) if crosses else None,
        context_mask=Tap(path, 'input', 'encoder_attention_mask', argument=None) if crosses else None,
    )


def _probe(module: nn.Module) -> dict[str, Any]:
    width = module.encoder.layer[0].crossattention.attention.key.in_features
    given = dict(
        query_embeds=zeros(module, 1, 2, module.config.hidden_size), encoder_hidden_states=zeros(module, 1, 2, width)
    )
    words = getattr(module.embeddings, 'word_embeddings', None) if hasattr(module, 'embeddings') else None
    return given if words is None else dict(given, input_ids=zeros(module, 1, 2).long())


@family(
    'transformers.Blip2QFormerModel',
    'transformers.InstructBlipQFormerModel',
    'transformers.InstructBlipVideoQFormerModel',
    role='qformer',
)
def qformer(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``Blip2QFormerModel`` and ``InstructBlipQFormerModel``."""
    blocks, block_path = [], 'encoder.layer'
    for depth, layer in enumerate(module.encoder.layer):
        path = f'{block_path}.{depth}'
        sublayers = dict(self_attn=_attention(module, path, 'attention', 'self_attn'))
        if layer.has_cross_attention:
            sublayers['cross_attn'] = _attention(module, path, 'crossattention', 'cross_attn')
        sublayers['ffn'] = SubLayer(
            'ffn',
            x=Tap(f'{path}.intermediate_query.dense', 'input'),
            h=Tap(f'{path}.output_query.dense', 'output'),
            y=Tap(f'{path}.output_query', 'output'),
            linears=linears(module, path, fc1='intermediate_query.dense', fc2='output_query.dense'),
        )
        blocks.append(Block(depth, sublayers['self_attn'].x, sublayers))
    norms = [f'{sub.y.path}.LayerNorm' for block in blocks for sub in block.sublayers.values()]
    before = 'layernorm' if hasattr(module, 'layernorm') else 'embeddings.layernorm'
    return Tower(
        name,
        module.config.hidden_size,
        tuple(blocks),
        module,
        block_path,
        (before, *norms),
        records_blocks=True,
        probe=_probe,
    )
