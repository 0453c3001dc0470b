"""Dual encoders as transformers saves them, CLIP and SigLIP: both towers, projections, temperature.

The text tower is transformers' own. The vision tower of a model may be, too, or be mmpretrain's, which has no place for
SigLIP's pooling head.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from ...registry import DIALECTS
from .base import Dialect
from .keymap import KeyMap

_LAYER = 'vision_model.encoder.layers.{i}'
_HEADS = [
    ('text.text_model.{rest}', 'text_model.{rest}'),
    ('itc_head.vision_proj.weight', 'visual_projection.weight'),
    ('itc_head.text_proj.weight', 'text_projection.weight'),
    ('itc_head.temperature', 'logit_scale'),
    ('itc_head.logit_bias', 'logit_bias'),
]
_MMPRETRAIN = KeyMap(
    [
        *_HEADS,
        ('vision.patch_embed.projection.weight', 'vision_model.embeddings.patch_embedding.weight'),
        ('vision.cls_token', 'vision_model.embeddings.class_embedding'),
        ('vision.pos_embed', 'vision_model.embeddings.position_embedding.weight'),
        ('vision.pre_norm.{wb}', 'vision_model.pre_layrnorm.{wb}'),
        ('vision.ln1.{wb}', 'vision_model.post_layernorm.{wb}'),
        ('vision.layers.{i}.ln1.{wb}', f'{_LAYER}.layer_norm1.{{wb}}'),
        ('vision.layers.{i}.ln2.{wb}', f'{_LAYER}.layer_norm2.{{wb}}'),
        ('vision.layers.{i}.attn.qkv.{wb}', f'{_LAYER}.self_attn.q_proj.{{wb}}'),
        ('vision.layers.{i}.attn.proj.{wb}', f'{_LAYER}.self_attn.out_proj.{{wb}}'),
        ('vision.layers.{i}.ffn.layers.0.0.{wb}', f'{_LAYER}.mlp.fc1.{{wb}}'),
        ('vision.layers.{i}.ffn.layers.1.{wb}', f'{_LAYER}.mlp.fc2.{{wb}}'),
    ]
)
_TRANSFORMERS = KeyMap([*_HEADS, ('vision.vision_model.{rest}', 'vision_model.{rest}')])


@DIALECTS.register_module(name='clip')
class ClipDialect(Dialect):
    """transformers' CLIPModel, SiglipModel (.bin, .safetensors): both towers, projections and temperature; read only.

    Args:
        keys: Of the model that it is read for. Defaults to (), one with mmpretrain's vision tower and ``ITCHead``.
    """

    name = 'clip'
    towers = ('vision', 'text')
    read_only = 'it has no place for the biases of trained projections'
    ignored = [(r'(text|vision)_model\.embeddings\.position_ids$', 'a constant')]

    def __init__(self, keys: Collection[str] = ()) -> None:
        self.has_own_vision = any('.vision_model.' in key for key in keys)
        self.has_logit_scale = 'itc_head.logit_scale' in keys

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The names of CLIP's towers."""
        return any(key.startswith(('text_model.', 'vision_model.')) for key in weights)

    def for_model(self, keys: Collection[str]) -> 'ClipDialect':
        """As it is read into a model whose vision tower is transformers' own, or whose head has SigLIP's scale."""
        return ClipDialect(keys)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict in our keys: zero biases of the projections; qkv fused for mmpretrain's tower."""
        state, names = {}, _TRANSFORMERS if self.has_own_vision else _MMPRETRAIN
        for key, tensor in self.kept(weights).items():
            is_fused = key.startswith('vision_model.') and not self.has_own_vision
            if is_fused and ('.k_proj.' in key or '.v_proj.' in key):
                continue
            ours = names.to_ours(key) or key.replace('vision_model.', 'vision.', 1)
            if is_fused and '.q_proj.' in key:
                tensor = torch.cat([weights[key.replace('q_proj', f'{role}_proj')] for role in 'qkv'])
            elif ours in ('vision.cls_token', 'vision.pos_embed'):
                tensor = tensor.reshape(1, -1, tensor.shape[-1])
            elif ours == 'itc_head.temperature':
                ours, tensor = self._scale(ours, tensor)
            elif ours.startswith('itc_head.') and ours.endswith('weight'):
                state[ours.replace('weight', 'bias')] = tensor.new_zeros(len(tensor))
            state[ours] = tensor
        return state

    def _scale(self, ours: str, tensor: Tensor) -> tuple[str, Tensor]:
        """Name and value of what is the logarithm of 1/temperature in the file."""
        if self.has_logit_scale:
            return ours.replace('temperature', 'logit_scale'), tensor.reshape(1)
        return ours, (-tensor.float()).exp().reshape(())
