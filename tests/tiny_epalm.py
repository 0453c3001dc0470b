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
# Layers that look back through a window of three alternate with those that see all; keys and values are narrower than
# queries.
WINDOW = 3
_GQA = dict(
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=LAYERS,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    pad_token_id=PAD,
    bos_token_id=END,
    eos_token_id=END,
)
_KINDS = ['sliding_attention', 'full_attention'] * (LAYERS // 2)
_GEMMA = dict(_GQA, head_dim=4, query_pre_attn_scalar=4, sliding_window=WINDOW, layer_types=_KINDS)
#: Language models of today: rotary positions, grouped queries, windows, capped scores and logits, scaled embeddings.
TODAYS = dict(
    qwen2=dict(_GQA, model_type='qwen2', use_sliding_window=True, sliding_window=WINDOW, layer_types=_KINDS),
    qwen3=dict(_GQA, model_type='qwen3', head_dim=4),
    gemma=dict(_GQA, model_type='gemma', head_dim=4),
    gemma2=dict(_GEMMA, model_type='gemma2', attn_logit_softcapping=5.0, final_logit_softcapping=3.0),
    gemma3=dict(_GEMMA, model_type='gemma3_text'),
    mistral=dict(_GQA, model_type='mistral', sliding_window=WINDOW),
    phi3=dict(_GQA, model_type='phi3'),
    granite=dict(_GQA, model_type='granite', embedding_multiplier=3.0, logits_scaling=2.0),
)
LMS.update(TODAYS)
WINDOWED = tuple(name for name, config in LMS.items() if config.get('sliding_window'))
EPALM = dict(type='EPALM', levels=3, start=1, end=LAYERS - 1, prompt_length=2)
_LM = dict(towers=['lm'])
_LORA = dict(type='LoRA', rank=2, targets=dict(_LM, kinds=['self_attn'], linears=['q', 'v']))
_PATCHES = dict(tokens='patches')
#: Other ways than EPALM's in which a language model perceives, and methods beside them.
WAYS = dict(
    patches=dict(connector=_PATCHES, adapter=None),
    levels=dict(connector=dict(tokens='levels', levels=3, hidden=10), adapter=None),
    lora=dict(connector=_PATCHES, adapter=[_LORA]),
    bottleneck=dict(
        connector=_PATCHES, adapter=[dict(type='Bottleneck', bottleneck=4, targets=dict(_LM, kinds=['ffn']))]
    ),
    prompt=dict(connector=_PATCHES, adapter=[dict(type='PromptTuning', length=2, targets=_LM)]),
    prefix=dict(connector=_PATCHES, adapter=[dict(type='PrefixTuning', length=2, targets=_LM)]),
    texts=dict(encoder=None, adapter=[_LORA]),
)


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
    dtype = next(model.encoder.parameters()).dtype
    rows = 4 if model.levels is None else model.levels
    return torch.randn(batch, rows, VISION, generator=generator).to(dtype)


def random_samples(task: str = 'vqa', **fields) -> list:
    """Three samples; ``fields`` are lists."""
    texts = ['what is it?</a>', 'who?</a>', '?</a>'] if task == 'vqa' else [''] * 3
    columns = dict(text=texts, target=['a dog', 'me', ''], **fields)
    return [BaseDataElement(task=task, **dict(zip(columns, row))) for row in zip(*columns.values())]
