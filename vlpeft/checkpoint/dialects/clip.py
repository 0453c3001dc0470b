"""CLIP as transformers saves it: both towers, projections without bias, the logarithm of 1/temperature."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...registry import DIALECTS
from .base import Dialect
from .keymap import KeyMap

_LAYER = 'vision_model.encoder.layers.{i}'
_KEYMAP = KeyMap(
    [
        ('text.text_model.{rest}', 'text_model.{rest}'),
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
        ('itc_head.vision_proj.weight', 'visual_projection.weight'),
        ('itc_head.text_proj.weight', 'text_projection.weight'),
        ('itc_head.temperature', 'logit_scale'),
    ]
)


@DIALECTS.register_module(name='clip')
class ClipDialect(Dialect):
    """transformers' CLIPModel (.bin, .safetensors): both towers, projections and temperature; read only."""

    name = 'clip'
    towers = ('vision', 'text')
    read_only = 'it has no place for the biases of trained projections'
    ignored = [(r'(text|vision)_model\.embeddings\.position_ids$', 'a constant')]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The names of CLIP's towers."""
        return any(key.startswith(('text_model.', 'vision_model.')) for key in weights)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict in our keys: fused qkv, zero biases of the projections."""
        state = {}
        for key, tensor in self.kept(weights).items():
            if key.startswith('vision_model.') and ('.k_proj.' in key or '.v_proj.' in key):
                continue
            ours = _KEYMAP.to_ours(key) or key.replace('vision_model.', 'vision.', 1)
            if key.startswith('vision_model.') and '.q_proj.' in key:
                tensor = torch.cat([weights[key.replace('q_proj', f'{role}_proj')] for role in 'qkv'])
            elif ours in ('vision.cls_token', 'vision.pos_embed'):
                tensor = tensor.reshape(1, -1, tensor.shape[-1])
            elif ours == 'itc_head.temperature':
                tensor = (-tensor.float()).exp()
            elif ours.startswith('itc_head.'):
                state[ours.replace('weight', 'bias')] = tensor.new_zeros(len(tensor))
            state[ours] = tensor
        return state
