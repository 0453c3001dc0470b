"""BART and T5 of transformers, built from their geometry alone: no tokenizer, no weights, no network."""

import torch
from torch import Tensor, nn

from .lm_config import lm_config

FAMILIES = ('bart', 't5')


def build_seq2seq_lm(config: str | dict, vocab_size: int) -> nn.Module:
    """An encoder-decoder language model of random weights.

    Rows of the word embeddings that a base does not have are those drawn here: N(0, ``init_std``) for BART, N(0,
    ``initializer_factor``) for T5.

    Args:
        config: Entries of transformers' config with ``model_type`` (``'bart'`` or ``'t5'``), or a directory or hub name
            whose ``config.json`` has them.
        vocab_size: Rows of the word embeddings, added tokens included.

    Returns:
        transformers' ``BartForConditionalGeneration`` or ``T5ForConditionalGeneration``. Its generation config holds
        nothing but its special tokens: how to decode is said where it is asked for.

    Raises:
        ValueError: Another model type.
    """
    from transformers import AutoModelForSeq2SeqLM, GenerationConfig

    geometry = lm_config(config, vocab_size, FAMILIES)
    # On the meta device, where there are shapes only, masks for SDPA ask for values.
    attention = dict(attn_implementation='eager') if torch.empty(0).is_meta else {}
    lm = AutoModelForSeq2SeqLM.from_config(geometry, **attention)
    if getattr(geometry, 'scale_decoder_outputs', True) is False:
        # T5 v1.1 has a head of its own; transformers 5 ties it until it has read a file.
        lm.lm_head.weight = nn.Parameter(torch.randn_like(lm.lm_head.weight) * geometry.initializer_factor)
        lm.config.tie_word_embeddings = False
        lm.all_tied_weights_keys.pop('lm_head.weight')
    if geometry.model_type == 'bart':
        # Always zero, and as long as the vocabulary.
        lm.register_buffer('final_logits_bias', lm.final_logits_bias, persistent=False)
    lm.generation_config = GenerationConfig(
        decoder_start_token_id=geometry.decoder_start_token_id,
        # T5 has none, and its config in transformers 5 no such entry.
        bos_token_id=getattr(geometry, 'bos_token_id', None),
        eos_token_id=geometry.eos_token_id,
        pad_token_id=geometry.pad_token_id,
    )
    return lm


def given(mask: Tensor) -> Tensor | None:
    """A mask (B, L) as transformers' models take it: none on ``meta``, where 5 asks for its values."""
    return None if mask.is_meta else mask
