"""CLIP's text model as transformers builds it: pre-norm, causal, no cross-attention."""

from torch import nn

from ..schema import Tower
from .parts import linear, pre_norm_block

BLOCKS = 'text_model.encoder.layers'


def clip_text(module: nn.Module, name: str) -> Tower:
    """Sites of :class:`vlpeft.models.backbones.ClipTextEncoder`."""
    blocks = []
    for depth in range(len(module.get_submodule(BLOCKS))):
        path = f'{BLOCKS}.{depth}'
        projections = dict(q='q_proj', k='k_proj', v='v_proj', o='out_proj')
        blocks.append(
            pre_norm_block(
                depth,
                norms=(f'{path}.layer_norm1', f'{path}.layer_norm2'),
                branches=(f'{path}.self_attn.out_proj', f'{path}.mlp'),
                end=path,
                attention={
                    role: linear(module, f'{path}.self_attn.{projection}') for role, projection in projections.items()
                },
                ffn=dict(fc1=linear(module, f'{path}.mlp.fc1'), fc2=linear(module, f'{path}.mlp.fc2')),
            )
        )
    return Tower(name, module.width, tuple(blocks), module, BLOCKS)
