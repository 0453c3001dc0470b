"""The backbones of vlpeft's families, tiny and random. Libraries are imported when one is built."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .subjects import Subject

WIDTH, DEPTH, HEADS, VOCAB, SIZE, PATCH, PAD = 16, 2, 4, 40, 16, 8, 1


def _ids(batch: int, length: int = 5, seed: int = 0) -> Tensor:
    return torch.randint(3, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def texts(batch: int) -> dict[str, Tensor]:
    """Right-padded texts of different lengths."""
    ids = _ids(batch)
    mask = torch.ones_like(ids)
    mask[-1, 3:] = 0
    return dict(input_ids=ids.masked_fill(mask == 0, PAD), attention_mask=mask)


def pictures(batch: int) -> Tensor:
    """(B, 3, 16, 16)."""
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def _seq2seq(batch: int) -> dict[str, Any]:
    return dict(texts(batch), decoder_input_ids=_ids(batch, 3, seed=2), use_cache=False)


def _causal(batch: int) -> dict[str, Any]:
    return dict(texts(batch), use_cache=False)


def _prompts(batch: int) -> dict[str, Any]:
    return dict(input_ids=_ids(batch, 4), attention_mask=torch.ones(batch, 4, dtype=torch.long))


_SIZES = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS)
#: Geometries of language models by ``model_type``: entries of transformers' configs, but for ``vocab_size``.
GEOMETRIES: dict[str, dict[str, Any]] = dict(
    bart=dict(
        d_model=WIDTH,
        encoder_layers=DEPTH,
        decoder_layers=DEPTH,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_position_embeddings=64,
        dropout=0.0,
    ),
    # 8 buckets up to distance 20: no distance lies on the border of two.
    t5=dict(
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=24,
        num_layers=DEPTH,
        num_heads=HEADS,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    ),
    opt=dict(
        _SIZES,
        ffn_dim=24,
        word_embed_proj_dim=WIDTH,
        max_position_embeddings=64,
        dropout=0.0,
        pad_token_id=PAD,
    ),
    gpt2=dict(
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        n_positions=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    llama=dict(
        _SIZES,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
        pad_token_id=PAD,
    ),
)
#: OPT-350m's form: norms after the branches, word embeddings narrower than the stream.
POST_NORM = dict(word_embed_proj_dim=10, do_layer_norm_before=False)
_TEXT = dict(_SIZES, intermediate_size=24, vocab_size=VOCAB, max_position_embeddings=16, eos_token_id=2)
_VISION = dict(_SIZES, intermediate_size=24, image_size=SIZE, patch_size=PATCH)


def _transformers(name: str, config: str, **options: Any) -> Callable[[], nn.Module]:
    """Builds a model of transformers, which is imported then."""

    def build() -> nn.Module:
        import transformers

        return getattr(transformers, name)(getattr(transformers, config)(**options))

    return build


def _mmpretrain(kind: str, **options: Any) -> Callable[[], nn.Module]:
    """Builds a vision backbone of mmpretrain, which is imported then."""

    def build() -> nn.Module:
        from vlpeft.registry import MODELS

        arch = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=24)
        config = dict(type=f'mmpretrain.{kind}', arch=arch, img_size=SIZE, patch_size=PATCH, out_type='raw')
        return MODELS.build(dict(config, **options))

    return build


def _vision(kind: str, **options: Any) -> Subject:
    return Subject(_mmpretrain(kind, **options), lambda batch: dict(x=pictures(batch)), lambda out: out[0])


def _lm(name: str, config: str, geometry: str, **options: Any) -> Subject:
    options = {**GEOMETRIES[geometry], **options, 'vocab_size': VOCAB}
    return Subject(_transformers(name, config, **options), _causal, lambda out: out.logits, prompts=_prompts)


def _encoder_decoder(name: str, config: str, geometry: str, **options: Any) -> Subject:
    options = {**GEOMETRIES[geometry], **options, 'vocab_size': VOCAB}
    return Subject(_transformers(name, config, **options), _seq2seq, lambda out: out.logits, prompts=_prompts)


def _dual(name: str, config: str) -> Subject:
    build = _transformers(name, config, text_config=_TEXT, vision_config=_VISION)
    # The causal mask of CLIP cannot be made in float64.
    return Subject(
        build,
        lambda batch: dict(texts(batch), pixel_values=pictures(batch)),
        lambda out: torch.cat([out.image_embeds, out.text_embeds], -1),
        torch.float32,
    )


class _TextOnPictures(nn.Module):
    """BLIP's text encoder, or its decoder, in a pass that reaches its cross-attentions."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        from vlpeft.registry import MODELS

        self.text = MODELS.build(
            dict(
                type=kind,
                vocab_size=VOCAB,
                width=WIDTH,
                depth=DEPTH,
                heads=HEADS,
                hidden=24,
                context_width=12,
                max_positions=16,
                dropout=0.0,
            )
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, tokens: Tensor) -> Tensor:
        from vlpeft.models.backbones import CrossContext

        encoder = getattr(self.text, 'bert', self.text)
        return self.text(input_ids, attention_mask, CrossContext(encoder.project_context(tokens)))


def _blip(kind: str) -> Subject:
    def inputs(batch: int) -> dict[str, Any]:
        return dict(texts(batch), tokens=torch.randn(batch, 4, 12, generator=torch.Generator().manual_seed(3)))

    return Subject(lambda: _TextOnPictures(kind), inputs, lambda out: out)


def _timesformer() -> nn.Module:
    from vlpeft.registry import MODELS

    return MODELS.build(
        dict(type='TimeSformer', width=WIDTH, depth=DEPTH, heads=HEADS, img_size=SIZE, patch_size=PATCH, num_frames=2)
    )


def _clips(batch: int) -> dict[str, Any]:
    return dict(inputs=torch.randn(batch, 2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))


SUBJECTS: dict[str, Subject] = dict(
    bart=_encoder_decoder('BartForConditionalGeneration', 'BartConfig', 'bart', forced_eos_token_id=None),
    t5=_encoder_decoder('T5ForConditionalGeneration', 'T5Config', 't5'),
    t5_gated=_encoder_decoder('T5ForConditionalGeneration', 'T5Config', 't5', feed_forward_proj='gated-gelu'),
    opt=_lm('OPTForCausalLM', 'OPTConfig', 'opt'),
    opt_post_norm=_lm('OPTForCausalLM', 'OPTConfig', 'opt', **POST_NORM),
    gpt2=_lm('GPT2LMHeadModel', 'GPT2Config', 'gpt2'),
    llama=_lm('LlamaForCausalLM', 'LlamaConfig', 'llama'),
    clip=_dual('CLIPModel', 'CLIPConfig'),
    siglip=_dual('SiglipModel', 'SiglipConfig'),
    vit=_vision('VisionTransformer'),
    dinov2=_vision('VisionTransformer', layer_scale_init_value=0.3),
    dinov2_giant=_vision('VisionTransformer', layer_scale_init_value=0.3, layer_cfgs=dict(ffn_type='swiglu_fused')),
    beit=_vision('BEiTViT'),
    eva02=_vision('ViTEVA02', sub_ln=True, final_norm=False),
    timesformer=Subject(_timesformer, _clips, lambda out: out, rows_each=2),
    blip_text=_blip('BlipTextEncoder'),
    blip_decoder=_blip('BlipTextDecoder'),
)
