"""Tiny backbones of every family that can stand in for BLIP's towers."""

import json
from pathlib import Path

import torch
from mmengine.structures import BaseDataElement

from tests.tiny import DEPTH, HEADS, PATCH, SIZE, WIDTH, random_batch, randomise, retriever_config
from vlpeft.registry import MODELS

ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=2 * WIDTH)
_SHAPE = dict(arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw')
_VIT = dict(type='mmpretrain.VisionTransformer', **_SHAPE)
QUICK_GELU = dict(act_cfg=dict(type='mmpretrain.QuickGELU'))
VISION = dict(
    clip=dict(_VIT, pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5), layer_cfgs=QUICK_GELU),
    dinov2=dict(_VIT, layer_scale_init_value=0.3),
    dinov2_giant=dict(_VIT, layer_scale_init_value=0.3, layer_cfgs=dict(ffn_type='swiglu_fused')),
    beit=dict(type='mmpretrain.BEiTViT', **_SHAPE),
    beit_plain=dict(type='mmpretrain.BEiTViT', bias=True, layer_scale_init_value=0.0, final_norm=True, **_SHAPE),
    eva02=dict(type='mmpretrain.ViTEVA02', sub_ln=True, final_norm=False, **_SHAPE),
)

# Byte-pair encoding of single letters: characters, characters that end a word, two merges, start and end token.
LETTERS = [chr(ord('a') + i) for i in range(26)]
CLIP_VOCABULARY = (
    LETTERS + [f'{letter}</w>' for letter in LETTERS] + ['re', 'red</w>', '<|startoftext|>', '<|endoftext|>']
)
TEXT_WIDTH, TEXT_DEPTH = 24, 3
CLIP_TEXT = dict(
    vocab_size=len(CLIP_VOCABULARY),
    hidden_size=TEXT_WIDTH,
    num_hidden_layers=TEXT_DEPTH,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=40,
    bos_token_id=len(CLIP_VOCABULARY) - 2,
    eos_token_id=len(CLIP_VOCABULARY) - 1,
)


def write_clip_vocabulary(folder: Path) -> str:
    """A directory that a CLIP tokenizer loads from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'vocab.json').write_text(json.dumps({token: i for i, token in enumerate(CLIP_VOCABULARY)}))
    (folder / 'merges.txt').write_text('#version: 0.2\nr e\nre d</w>\n')
    return str(folder)


def dual_config(vocabulary: str = '', **overrides) -> dict:
    """Config of a tiny CLIP: towers of different depth and width, no matching."""
    config = dict(
        vision=VISION['clip'],
        text=dict(type='ClipTextEncoder', config=CLIP_TEXT),
        vocabulary=vocabulary,
        itc_head=dict(type='ITCHead', vision_width=WIDTH, text_width=TEXT_WIDTH, embed_width=8, queue_size=12),
        itm_head=None,
    )
    return retriever_config(**{**config, **overrides})


def build(config: dict, dtype=torch.float64, seed: int = 0):
    """The randomised model of a config in eval mode."""
    model = MODELS.build(config).to(dtype)
    model.eval()
    return randomise(model, seed=seed)


def letter_batch(batch: int = 3, **clips):
    """Clips of :func:`random_batch` and captions that the tiny CLIP vocabulary spells."""
    frames, _ = random_batch(batch, **clips)
    captions = ['red ball', 'a red bag of tea', 'dog', 'two dogs run'][:batch]
    return frames, [BaseDataElement(text=caption, clip_id=i) for i, caption in enumerate(captions)]
