"""OPT, GPT-2 and Llama of transformers, built from their geometry alone: no tokenizer, no weights, no network."""

import torch
from torch import Tensor, nn

from .lm_config import lm_config

FAMILIES = ('opt', 'gpt2', 'llama')


def build_causal_lm(config: str | dict, vocab_size: int, dtype: str = 'float32') -> nn.Module:
    """A decoder-only language model of random weights.

    Args:
        config: Entries of transformers' config with ``model_type`` (``'opt'``, ``'gpt2'`` or ``'llama'``), or a
            directory or hub name whose ``config.json`` has them.
        vocab_size: Rows of the word embeddings, added tokens included; OPT's 50,272 have room for them.
        dtype: Of its weights, a name in torch. Defaults to ``'float32'``, whatever ``config.json`` says.

    Returns:
        transformers' ``OPTForCausalLM``, ``GPT2LMHeadModel`` or ``LlamaForCausalLM``.

    Raises:
        ValueError: Another model type.
    """
    from transformers import AutoModelForCausalLM

    geometry = lm_config(config, vocab_size, FAMILIES)
    # Masks are given layer by layer; GPT-2's eager attention would add a causal one of its own.
    lm = AutoModelForCausalLM.from_config(geometry, attn_implementation='sdpa', dtype=getattr(torch, dtype))
    if geometry.model_type == 'llama' and torch.empty(0).is_meta:
        lm.model.rotary_emb = _RotaryShapes(lm.model.layers[0].self_attn.head_dim)
    return lm


class _RotaryShapes(nn.Module):
    """Shapes of rotary positions. transformers computes them outside autocast, which the meta device does not have."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angles = hidden.new_empty(*position_ids.shape, self.width)
        return angles, angles
