"""Language models with vision, small enough for tests: real tokenizers of both kinds, models, batches."""

import json
from pathlib import Path

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from tests.tiny import randomise
from vlpeft.registry import MODELS
from vlpeft.testing.backbones import GEOMETRIES

FEATURES, GRID = 6, 2
LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789:?.,()[]<>'
EXTRA, BYTES = 200, 256
VOCAB = dict(bart=5 + BYTES + EXTRA, t5=4 + len(LETTERS) + EXTRA)
LM = {family: dict(GEOMETRIES[family], model_type=family) for family in VOCAB}
TASKS = dict(
    vqa=dict(max_text=20, max_target=10, generation=dict(max_length=8)),
    caption=dict(
        max_text=40, max_target=40, loss='token', output='pred_caption', generation=dict(num_beams=3, max_length=8)
    ),
    nlvr2=dict(choices=('false', 'true')),
)


def write_tokenizer(folder: Path, family: str) -> str:
    """A directory that ``AutoTokenizer`` loads from: one token for each letter."""
    folder.mkdir(parents=True, exist_ok=True)
    if family == 'bart':
        from tokenizers.pre_tokenizers import ByteLevel
        from transformers import BartTokenizerFast

        words = ['<s>', '<pad>', '</s>', '<unk>', *sorted(ByteLevel.alphabet()), '<mask>']
        (folder / 'vocab.json').write_text(json.dumps({word: i for i, word in enumerate(words)}))
        (folder / 'merges.txt').write_text('#version: 0.2\n')
        BartTokenizerFast(str(folder / 'vocab.json'), str(folder / 'merges.txt')).save_pretrained(folder)
    else:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
        from transformers import T5TokenizerFast

        pieces = [('<pad>', 0.0), ('</s>', 0.0), ('<unk>', 0.0), ('▁', -2.0), *((letter, -2.0) for letter in LETTERS)]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        tokenizer.post_processor = processors.TemplateProcessing('$A </s>', special_tokens=[('</s>', 1)])
        T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=100).save_pretrained(folder)
    return str(folder)


def vl_config(family: str, vocabulary: str = '', **overrides) -> dict:
    """Config of a tiny model without dropout."""
    config = dict(
        type='VLSeq2Seq',
        lm=LM[family],
        vocab_size=VOCAB[family],
        vocabulary=vocabulary,
        tasks=TASKS,
        feature_width=FEATURES,
        grid=GRID,
    )
    return {**config, **overrides}


def build_vl(family: str, vocabulary: str = '', dtype=torch.float64, seed: int = 0, **overrides) -> nn.Module:
    """A randomised tiny model in eval mode, weights N(0, 0.2)."""
    model = MODELS.build(vl_config(family, vocabulary, **overrides)).to(dtype)
    model.eval()
    return randomise(model, seed=seed)


def random_samples(task: str = 'vqa', batch: int = 3, images: int = 1, cells: int = 9, dtype=torch.float64):
    """Features (B, I, cells, F) and samples of different lengths with targets and weights."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(batch, images, cells, FEATURES, generator=generator, dtype=torch.float64).to(dtype)
    texts, targets = ['vqa: is it red?', 'vqa: who', 'vqa: what is that'], ['yes', 'a cat', 'ten']
    samples = [
        BaseDataElement(task=task, text=texts[i % 3], target=targets[i % 3], weight=0.3 + 0.3 * (i % 3))
        for i in range(batch)
    ]
    return features, samples
