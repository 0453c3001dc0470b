"""BART's encoder and decoder as transformers builds them: post-norm; the decoder adds a causal mask and a
cross-attention to every block.
"""

from torch import nn

from ..schema import Block, Entrance, SubLayer, Tap, Tower
from .parts import cache_tap, linears, token_input, tokens_beside_states
from .registry import family


def _attention(module: nn.Module, block: str, name: str, kind: str) -> SubLayer:
    path = f'{block}.{name}'
    crosses = kind == 'cross_attn'
    return SubLayer(
        kind,
        x=Tap(path, 'input', 'hidden_states'),
        h=Tap(f'{path}.out_proj', 'output'),
        y=Tap(f'{path}_layer_norm', 'output'),
        linears=linears(module, path, q='q_proj', k='k_proj', v='v_proj', o='out_proj'),
        context=Tap(path, 'input', 'key_value_states', argument=1) if crosses else None,
        context_mask=Tap(path, 'input', 'attention_mask', argument=3) if crosses else None,
    )


def _block(module: nn.Module, depth: int, attentions: tuple[tuple[str, str], ...]) -> Block:
    path = f'layers.{depth}'
    sublayers = {kind: _attention(module, path, name, kind) for kind, name in attentions}
    sublayers['ffn'] = SubLayer(
        'ffn',
        x=Tap(f'{path}.fc1', 'input'),
        h=Tap(f'{path}.fc2', 'output'),
        y=Tap(f'{path}.final_layer_norm', 'output'),
        linears=linears(module, path, fc1='fc1', fc2='fc2'),
    )
    mask = Tap(f'{path}.self_attn', 'input', 'attention_mask', argument=3)
    return Block(depth, sublayers['self_attn'].x, sublayers, mask)


def _tower(module: nn.Module, name: str, attentions: tuple[tuple[str, str], ...], causal: bool) -> Tower:
    blocks = tuple(_block(module, depth, attentions) for depth in range(len(module.layers)))
    norms = [sub.y.path for block in blocks for sub in block.sublayers.values()]
    norms = ('layernorm_embedding', *norms)
    # Positions of the encoder are counted from the first row.
    entrance = Entrance(
        Tap('', 'input', 'inputs_embeds', argument=None),
        module.config.d_model,
        'embed_tokens',
        'embed_positions',
        Tap('embed_positions', 'input', 'position_ids', argument=None) if causal else None,
        'EncoderDecoderCache' if causal else None,
        module.config.decoder_attention_heads if causal else None,
        is_read=not causal,
    )
    cache = cache_tap(module, 'layers.0') if causal else None
    return Tower(
        name,
        module.config.d_model,
        blocks,
        module,
        'layers',
        norms,
        entrance,
        causal=causal,
        cache=cache,
        probe=tokens_beside_states if causal else token_input,
    )


@family('transformers.BartEncoder', role='encoder')
def bart_encoder(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``BartEncoder``."""
    return _tower(module, name, (('self_attn', 'self_attn'),), causal=False)


@family('transformers.BartDecoder', role='decoder')
def bart_decoder(module: nn.Module, name: str) -> Tower:
    """Sites of transformers' ``BartDecoder``."""
    return _tower(module, name, (('self_attn', 'self_attn'), ('cross_attn', 'encoder_attn')), causal=True)
