"""T5's encoder and decoder stacks as transformers builds them: pre-norm, so x is the stream that no norm has touched;
the decoder adds a causal mask and a cross-attention to every block.
"""

from torch import nn

from ..schema import Block, Entrance, SubLayer, Tap, Tower
from .parts import cache_tap, linears, tokens_alone, tokens_beside_states
from .registry import family

PLAIN = dict(fc1='wi', fc2='wo')
#: T5 v1.1 and Flan-T5: φ(W_gate x) ⊙ W_up x.
GATED = dict(gate='wi_0', up='wi_1', down='wo')


def _attention(module: nn.Module, path: str, name: str, kind: str) -> SubLayer:
    crosses = kind == 'cross_attn'
    return SubLayer(
        kind,
        x=Tap(path, 'input', 'hidden_states'),
        h=Tap(f'{path}.{name}.o', 'output'),
        y=Tap(path, 'output'),
        linears=linears(module, f'{path}.{name}', q='q', k='k', v='v', o='o'),
        context=Tap(path, 'input', 'key_value_states', argument=1) if crosses else None,
        context_mask=Tap(path, 'input', 'attention_mask', argument=None) if crosses else None,
    )


def _ffn(module: nn.Module, path: str, gated: bool) -> SubLayer:
    inner = f'{path}.DenseReluDense'
    return SubLayer(
        'ffn',
        x=Tap(path, 'input', 'hidden_states'),
        h=Tap(f'{inner}.wo', 'output'),
        y=Tap(path, 'output'),
        linears=linears(module, inner, **(GATED if gated else PLAIN)),
    )


def _block(module: nn.Module, depth: int) -> Block:
    path = f'block.{depth}.layer'
    sublayers = dict(self_attn=_attention(module, f'{path}.0', 'SelfAttention', 'self_attn'))
    if module.is_decoder:
        sublayers['cross_attn'] = _attention(module, f'{path}.1', 'EncDecAttention', 'cross_attn')
    sublayers['ffn'] = _ffn(module, f'{path}.{len(sublayers)}', module.config.is_gated_act)
    mask = Tap(f'{path}.0', 'input', 'attention_mask', argument=1)
    return Block(depth, sublayers['self_attn'].x, sublayers, mask)


@family('transformers.T5Stack', role=lambda module: 'decoder' if module.is_decoder else 'encoder')
def t5(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``T5Stack``."""
    blocks = tuple(_block(module, depth) for depth in range(len(module.block)))
    norms = [f'{sub.x.path}.layer_norm' for block in blocks for sub in block.sublayers.values()]
    final, causal = 'final_layer_norm', module.is_decoder
    entrance = Entrance(
        Tap('', 'input', 'inputs_embeds', argument=None),
        module.config.d_model,
        'embed_tokens',
        cache_class='EncoderDecoderCache' if causal else None,
        heads=module.config.num_heads if causal else None,
        is_read=not causal,
    )
    return Tower(
        name,
        module.config.d_model,
        blocks,
        module,
        'block',
        (*norms, final),
        entrance,
        causal=causal,
        final_norm=final,
        cache=cache_tap(module, 'block.0') if causal else None,
        probe=tokens_beside_states if causal else tokens_alone,
    )
