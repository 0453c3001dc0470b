"""BLIP's text model: BERT whose every block also owns a cross-attention.

Li et al., "BLIP: Bootstrapping Language-Image Pre-training", ICML 2022. Parameter names are the official ones.
"""

import math
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.models.tokenizer import CaptionTokenizer
from vlpeft.registry import MODELS

from .attention import AddNorm, CrossContext, KeyValue, PostNormAttention, Projected, additive_mask

POOLINGS = ('first', 'mean')


class SelfCache:
    """Keys and values of the tokens decoded so far, per layer."""

    def __init__(self) -> None:
        self.layers: list[KeyValue] = []

    def get_seq_length(self) -> int:
        """How many tokens are held; 0 before the first step."""
        return self.layers[0].key.shape[2] if self.layers else 0

    def extend(self, depth: int, new: KeyValue) -> KeyValue:
        """Appends ``new`` and returns all keys and values of that layer."""
        if depth == len(self.layers):
            self.layers.append(new)
        else:
            old = self.layers[depth]
            self.layers[depth] = KeyValue(torch.cat([old.key, new.key], 2), torch.cat([old.value, new.value], 2))
        return self.layers[depth]

    def reorder(self, index: Tensor) -> None:
        """Keeps the rows ``index`` (beam search)."""
        self.layers = [KeyValue(kv.key[index], kv.value[index]) for kv in self.layers]


class BlipEmbeddings(nn.Module):
    """Word plus learned absolute position embeddings, then LayerNorm."""

    def __init__(self, vocab_size: int, width: int, max_positions: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(max_positions, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, offset: int = 0) -> Tensor:
        positions = torch.arange(offset, offset + ids.shape[1], device=ids.device)
        return self.dropout(self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings(positions)))


class Intermediate(nn.Module):
    """First half of the FFN: GELU (erf) of a linear map."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class BlipTextLayer(nn.Module):
    """Self-attention, cross-attention (multimodal passes only), FFN; all post-norm."""

    def __init__(self, width: int, heads: int, hidden: int, context_width: int, dropout: float) -> None:
        super().__init__()
        self.attention = PostNormAttention(width, heads, width, dropout)
        self.crossattention = PostNormAttention(width, heads, context_width, dropout)
        self.intermediate = Intermediate(width, hidden)
        self.output = AddNorm(hidden, width, dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        context: CrossContext | None = None,
        depth: int = 0,
        cache: SelfCache | None = None,
    ) -> Tensor:
        kv = self.attention.project(x)
        x = self.attention(x, kv if cache is None else cache.extend(depth, kv), mask)
        if context is not None:
            kv, context_mask = context.layers[depth], context.mask
            if context.index is not None:
                # Its backward pass adds rows up many times as fast as that of plain indexing.
                kv = KeyValue(*(states.index_select(0, context.index) for states in kv))
                context_mask = None if context_mask is None else context_mask[context.index]
            if context_mask is not None:
                context_mask = additive_mask(context_mask, x.dtype)[:, None, None]
            x = self.crossattention(x, kv, context_mask, context.key_weights, context.counts)
        return self.output(self.intermediate(x), x)


class BlipTextLayers(nn.Module):
    """The stack, named ``encoder`` in BLIP's checkpoints."""

    def __init__(self, depth: int, *args) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BlipTextLayer(*args) for _ in range(depth))

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        context: CrossContext | None = None,
        causal: bool = False,
        past_key_values: SelfCache | None = None,
    ) -> Tensor:
        """Last hidden states (P, L, D) of embeddings (P, L, D); arguments as in :meth:`BlipTextEncoder.forward`."""
        x, visible = inputs_embeds, attention_mask[:, None, None, :]
        if causal:
            offset = 0 if past_key_values is None else past_key_values.get_seq_length()
            total = offset + x.shape[1]
            rows = torch.arange(offset, total, device=x.device)[:, None]
            visible = visible * (torch.arange(total, device=x.device)[None] <= rows)
        mask = additive_mask(visible, x.dtype)
        for depth, layer in enumerate(self.layer):
            x = layer(x, mask, context, depth, past_key_values)
        return x


@MODELS.register_module()
class BlipTextEncoder(BaseModule):
    """BLIP's BERT with cross-attention: text-only, multimodal and causal passes.

    Args:
        vocab_size: bert-base-uncased plus ``[DEC]`` and ``[ENC]``. Defaults to 30524.
        width: D. Defaults to 768.
        depth: Number of blocks. Defaults to 12.
        heads: Defaults to 12.
        hidden: Width inside the FFN. Defaults to 3072.
        context_width: Width of the vision tokens. Defaults to 768.
        max_positions: Longest text. Defaults to 512.
        dropout: Rate on embeddings, attention weights and branch outputs, in training. Defaults to 0.1.
        pooling: What a text alone is pooled to: ``'first'``, the state of its first token, as BLIP was trained, or
            ``'mean'`` over its tokens, as sentence encoders such as MiniLM were. Defaults to ``'first'``.

    Raises:
        ValueError: Another ``pooling``.
    """

    tokenizer_type = CaptionTokenizer

    def __init__(
        self,
        vocab_size: int = 30524,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int = 3072,
        context_width: int = 768,
        max_positions: int = 512,
        dropout: float = 0.1,
        pooling: str = 'first',
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f'BlipTextEncoder: pooling={pooling!r}; choose from {", ".join(POOLINGS)}')
        self.width, self.vocab_size, self.pooling = width, vocab_size, pooling
        self.embeddings = BlipEmbeddings(vocab_size, width, max_positions, dropout)
        self.encoder = BlipTextLayers(depth, width, heads, hidden, context_width, dropout)

    def init_weights(self) -> None:
        """Draws BERT's N(0, 0.02), scaled so that signals keep their size at widths other than 768."""
        std = 0.02 * math.sqrt(768 / self.width)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """One vector (P, D) for each text, as ``pooling`` says; states (P, L, D), mask (P, L)."""
        if self.pooling == 'first':
            return states[:, 0]
        weights = mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def project_context(self, states: Tensor) -> Projected:
        """Keys and values of every cross-attention, to be shared by all texts that meet these states.

        Args:
            states: Vision tokens (C, S, context_width).
        """
        return Projected((layer.crossattention.project(states) for layer in self.encoder.layer), states)

    def probe_input(self) -> dict[str, Any]:
        """Keyword arguments of the smallest pass that reaches the cross-attentions too."""
        key = self.encoder.layer[0].crossattention.self.key
        ids = torch.zeros(1, 2, dtype=torch.long, device=key.weight.device)
        context = CrossContext(self.project_context(key.weight.new_zeros(1, 1, key.in_features)))
        return dict(ids=ids, mask=torch.ones_like(ids), context=context)

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        context: CrossContext | None = None,
        causal: bool = False,
        cache: SelfCache | None = None,
    ) -> Tensor:
        """Last hidden states.

        Args:
            ids: Token ids (P, L); with a cache, only the new ones.
            mask: (P, L), 1 where a token exists; with a cache, over cached and new tokens.
            context: For a multimodal pass. Defaults to None, a text-only pass.
            causal: Whether a token sees only its predecessors. Defaults to False.
            cache: Extended in place. Defaults to None.

        Returns:
            (P, L, D).
        """
        # Of the text alone: a method may have put more into the cache.
        offset = mask.shape[1] - ids.shape[1]
        return self.encoder(self.embeddings(ids, offset), mask, context, causal, cache)
