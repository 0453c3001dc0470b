"""Models of other libraries as people bring them: tiny, random, in eval mode, each with a batch and its output."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn

from tests.tiny import randomise
from tests.tiny_seq2seq import BART, T5
from tests.towers import VISION
from vlpeft.registry import MODELS

WIDTH, DEPTH, HEADS, VOCAB, SIZE, PATCH = 16, 2, 4, 40, 16, 8
_SIZES = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS)


@dataclass(frozen=True)
class Plain:
    """A kind of model.

    Attributes:
        build: Makes one.
        inputs: Arguments for a batch of so many samples.
        output: The tensor (B, …) to look at.
        towers: Names that its towers get.
        dtype: Of its weights.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[int], dict[str, Tensor]]
    output: Callable[[object], Tensor]
    towers: tuple[str, ...]
    dtype: torch.dtype = torch.float64

    def model(self, dtype: torch.dtype | None = None, seed: int = 0) -> nn.Module:
        """With weights N(0, 0.2)."""
        return randomise(self.build().to(dtype or self.dtype).eval(), seed=seed)

    def run(self, model: nn.Module, batch: int = 3) -> Tensor:
        """Output of a batch."""
        dtype = next(model.parameters()).dtype
        inputs = {
            name: value.to(dtype) if value.is_floating_point() else value for name, value in self.inputs(batch).items()
        }
        return self.output(model(**inputs))


def _ids(batch: int, length: int = 5, seed: int = 0) -> Tensor:
    return torch.randint(3, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def _texts(batch: int) -> dict[str, Tensor]:
    """Right-padded texts of different lengths."""
    ids = _ids(batch)
    mask = torch.ones_like(ids)
    mask[-1, 3:] = 0
    return dict(input_ids=ids.masked_fill(mask == 0, 1), attention_mask=mask)


def _pictures(batch: int) -> Tensor:
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def _seq2seq(batch: int) -> dict[str, Tensor]:
    return dict(_texts(batch), decoder_input_ids=_ids(batch, 3, seed=2), use_cache=False)


def _causal(batch: int) -> dict[str, Tensor]:
    return dict(_texts(batch), use_cache=False)


def _clip() -> nn.Module:
    text = dict(_SIZES, intermediate_size=24, vocab_size=VOCAB, max_position_embeddings=16, eos_token_id=2)
    vision = dict(_SIZES, intermediate_size=24, image_size=SIZE, patch_size=PATCH)
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))


PLAIN = dict(
    bart=Plain(
        lambda: transformers.BartForConditionalGeneration(BART),
        _seq2seq,
        lambda out: out.logits,
        ('encoder', 'decoder'),
    ),
    t5=Plain(
        lambda: transformers.T5ForConditionalGeneration(T5), _seq2seq, lambda out: out.logits, ('encoder', 'decoder')
    ),
    opt=Plain(
        lambda: transformers.OPTForCausalLM(
            transformers.OPTConfig(
                **_SIZES, ffn_dim=24, vocab_size=VOCAB, word_embed_proj_dim=WIDTH, max_position_embeddings=64
            )
        ),
        _causal,
        lambda out: out.logits,
        ('lm',),
    ),
    gpt2=Plain(
        lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=WIDTH, n_layer=DEPTH, n_head=HEADS, n_positions=64, vocab_size=VOCAB)
        ),
        _causal,
        lambda out: out.logits,
        ('lm',),
    ),
    llama=Plain(
        lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                **_SIZES,
                num_key_value_heads=2,
                intermediate_size=24,
                vocab_size=VOCAB,
                max_position_embeddings=64,
                pad_token_id=1,
            )
        ),
        _causal,
        lambda out: out.logits,
        ('lm',),
    ),
    clip=Plain(
        _clip,
        lambda batch: dict(_texts(batch), pixel_values=_pictures(batch)),
        lambda out: torch.cat([out.image_embeds, out.text_embeds], -1),
        ('text', 'vision'),
        # Its causal mask cannot be made in float64.
        torch.float32,
    ),
    vit=Plain(
        lambda: MODELS.build(VISION['dinov2']),
        lambda batch: dict(x=_pictures(batch)),
        lambda out: out[0],
        ('vision',),
    ),
    beit=Plain(
        lambda: MODELS.build(VISION['beit']),
        lambda batch: dict(x=_pictures(batch)),
        lambda out: out[0],
        ('vision',),
    ),
)
