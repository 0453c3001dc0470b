"""A perceptual language model small enough for tests."""

import json
from pathlib import Path

import torch
from mmengine.structures import BaseDataElement
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn

from tests.tiny import randomise
from vlpeft.models.tokenizer import Tokens, pad
from vlpeft.registry import MODELS
from vlpeft.testing.backbones import GEOMETRIES, POST_NORM

SPECIALS = ['<s>', '<pad>', '</s>']
PAD, END = 1, 2
#: Single bytes, ``</a>`` and room for more.
VOCAB = len(SPECIALS) + 256 + 5
LAYERS, VISION = 8, 12
OPT = dict(GEOMETRIES['opt'], model_type='opt', num_hidden_layers=LAYERS, dropout=0.1)
LMS = dict(
    opt=OPT,
    opt_post=dict(OPT, **POST_NORM),
    gpt2=dict(GEOMETRIES['gpt2'], model_type='gpt2', n_layer=LAYERS),
    llama=dict(GEOMETRIES['llama'], model_type='llama', num_hidden_layers=LAYERS),
)
EPALM = dict(type='EPALM', levels=3, start=1, end=LAYERS - 1, prompt_length=2)


def write_vocabulary(folder: Path) -> str:
    """A directory that OPT's tokenizer loads from: byte-level BPE that merges nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = SPECIALS + sorted(ByteLevel.alphabet())
    (folder / 'vocab.json').write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / 'merges.txt').write_text('#version: 0.2\n')
    (folder / 'tokenizer_config.json').write_text(
        json.dumps(
            dict(
                tokenizer_class='GPT2Tokenizer',
                add_bos_token=True,
                bos_token='</s>',
                eos_token='</s>',
                unk_token='</s>',
                pad_token='<pad>',
            )
        )
    )
    return str(folder)


def perceptual_config(lm: str = 'opt', vocabulary: str = '', **overrides) -> dict:
    """Config of a tiny model with images of 16 x 16 pixels; ``adapter`` is the whole config or entries of EPALM's."""
    adapter = overrides.pop('adapter', {})
    config = dict(
        type='PerceptualLM',
        lm=LMS[lm],
        vocab_size=VOCAB,
        vocabulary=vocabulary,
        encoder=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=VISION, num_layers=6, num_heads=2, feedforward_channels=24),
            img_size=16,
            patch_size=8,
            out_type='raw',
            final_norm=True,
        ),
        adapter=dict(EPALM, **adapter) if isinstance(adapter, dict) else adapter,
        tasks=dict(vqa=dict(max_new_tokens=5), caption=dict(max_new_tokens=5, output='pred_caption')),
    )
    return {**config, **overrides}


def build_perceptual(dtype=torch.float64, seed: int = 0, std: float = 0.25, **overrides) -> nn.Module:
    """A randomised tiny model in eval mode."""
    model = MODELS.build(perceptual_config(**overrides)).to(dtype)
    model.eval()
    return randomise(model, std=std, seed=seed)


def random_texts(lengths=(6, 4, 3), left: bool = False, seed: int = 0) -> Tokens:
    """Ids of different lengths that start with the start token."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(3, VOCAB, (length,), generator=generator) for length in lengths]
    for row in rows:
        row[0] = END
    return pad(rows, torch.device('cpu'), value=PAD, left=left)


def random_vectors(model: nn.Module, batch: int = 3, seed: int = 1) -> torch.Tensor:
    """Vectors (B, K, Dv) of an encoder."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.adapter.parameters()).dtype
    return torch.randn(batch, model.epalm.levels, VISION, generator=generator).to(dtype)


def random_samples(task: str = 'vqa', **fields) -> list:
    """Three samples; ``fields`` are lists."""
    texts = ['what is it?</a>', 'who?</a>', '?</a>'] if task == 'vqa' else [''] * 3
    columns = dict(text=texts, target=['a dog', 'me', ''], **fields)
    return [BaseDataElement(task=task, **dict(zip(columns, row))) for row in zip(*columns.values())]
