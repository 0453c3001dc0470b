"""Decoder-only language models of transformers, built from their geometry: no tokenizer, no weights, no network."""

import torch
from torch import Tensor, nn

from vlpeft.quiet import no_info_logs
from vlpeft.sites import describe

from .lm_config import lm_config

#: How attention may be computed: fused, or as products and a softmax.
ATTENTIONS = ('sdpa', 'eager')


def build_causal_lm(
    config: str | dict, vocab_size: int, dtype: str = 'float32', attn_implementation: str | None = None
) -> nn.Module:
    """A decoder-only language model of random weights.

    Args:
        config: Entries of transformers' config with ``model_type`` (``'llama'``, ``'qwen2'``, ``'qwen3'``,
            ``'gemma2'``, ``'gemma3_text'``, ``'mistral'``, ``'phi3'``, ``'opt'``, ``'gpt2'``, …), or a directory or hub
            name whose ``config.json`` has them.
        vocab_size: Rows of the word embeddings, added tokens included; OPT's 50,272 have room for them.
        dtype: Of its weights, a name in torch. Defaults to ``'float32'``, whatever ``config.json`` says.
        attn_implementation: ``'sdpa'`` or ``'eager'``. Short texts in bfloat16 on a CPU train faster with ``'eager'``
            (docs/performance.md). Defaults to None, ``'sdpa'`` unless the model caps its scores, as Gemma 2 does.

    Returns:
        transformers' model, such as ``LlamaForCausalLM``.

    Raises:
        ValueError: No type of a language model, or one whose blocks vlpeft does not know; or a way to compute attention
            that this one cannot take.
    """
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    geometry = lm_config(config, vocab_size, tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
    attention = _attention(geometry, attn_implementation)
    # Shapes tell whether it will do, before weights are drawn.
    kind = geometry.model_type
    try:
        with torch.device('meta'), no_info_logs():
            shell = AutoModelForCausalLM.from_config(geometry, attn_implementation=attention)
        tower = describe(shell, 'lm')
    except ValueError as error:
        raise ValueError(f'lm.model_type={kind!r} is no language model whose blocks vlpeft knows: {error}') from error
    if not tower.is_decoder_only:
        raise ValueError(f'lm.model_type={kind!r} ({type(shell).__name__}) is no decoder-only language model')
    return AutoModelForCausalLM.from_config(geometry, attn_implementation=attention, dtype=getattr(torch, dtype))


def _attention(geometry, asked: str | None) -> str:
    if asked not in (None, *ATTENTIONS):
        raise ValueError(f'attn_implementation={asked!r}; choose from {", ".join(ATTENTIONS)}, or None')
    capped = bool(getattr(geometry, 'attn_logit_softcapping', None))
    if capped and asked == 'sdpa':
        raise ValueError(f"attn_implementation='sdpa' cannot cap scores, which {geometry.model_type} does")
    # Masks are given layer by layer; GPT-2's eager attention would add a causal one of its own.
    if asked == 'eager' and geometry.model_type == 'gpt2':
        raise ValueError("attn_implementation='eager': GPT-2's has a causal mask of its own; leave it None")
    return asked or ('eager' if capped else 'sdpa')


def next_token_logits(lm: nn.Module, hidden: Tensor) -> Tensor:
    """Logits (…, V) as the model itself computes them of its last hidden states (…, D)."""
    logits, config = lm.get_output_embeddings()(hidden), lm.config
    if (cap := getattr(config, 'final_logit_softcapping', None)) is not None:
        logits = cap * torch.tanh(logits / cap)
    # Granite's.
    return logits / getattr(config, 'logits_scaling', 1)
