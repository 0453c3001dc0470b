"""A BLIP small enough for tests, with weights large enough that mistakes show."""

from pathlib import Path

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from tests.small_methods import shrink_methods
from vlpeft.registry import MODELS
from vlpeft.testing import subjects

WORDS = 'a the red green blue circle square moves left right up down still small big and'.split()
SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
VOCAB_SIZE = len(SPECIALS) + len(WORDS) + 2
WIDTH, DEPTH, HEADS, SIZE, PATCH = 16, 2, 2, 16, 8


def write_vocabulary(folder: Path) -> str:
    """A directory that a BERT tokenizer loads from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'vocab.txt').write_text('\n'.join(SPECIALS + WORDS) + '\n')
    return str(folder)


def retriever_config(vocabulary: str = '', **overrides) -> dict:
    """Config of a tiny retriever without dropout; T and B are free."""
    config = dict(
        type='Retriever',
        vision=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=2 * WIDTH),
            img_size=SIZE,
            patch_size=PATCH,
            out_type='raw',
            final_norm=True,
        ),
        text=dict(
            type='BlipTextEncoder',
            vocab_size=VOCAB_SIZE,
            width=WIDTH,
            depth=DEPTH,
            heads=HEADS,
            hidden=2 * WIDTH,
            context_width=WIDTH,
            max_positions=40,
            dropout=0.0,
        ),
        vocabulary=vocabulary,
        itc_head=dict(type='ITCHead', vision_width=WIDTH, text_width=WIDTH, embed_width=8, queue_size=12),
        itm_head=dict(type='ITMHead', width=WIDTH),
    )
    return {**config, **overrides}


def vqa_config(vocabulary: str = '', **overrides) -> dict:
    """Config of a tiny question answerer with the towers of :func:`retriever_config`."""
    retriever = retriever_config(vocabulary)
    config = dict(
        type='GenerativeVQA',
        vision=retriever['vision'],
        text=retriever['text'],
        decoder=dict(retriever['text'], type='BlipTextDecoder'),
        vocabulary=vocabulary,
    )
    return {**config, **overrides}


def write_blip_bases(root: Path) -> None:
    """Vocabulary of the tiny BLIPs, and a base of each task model: ``Retriever.pth`` and ``GenerativeVQA.pth``."""
    write_vocabulary(root / 'vocabulary')
    for name, model in (('Retriever', build_retriever(torch.float32)), ('GenerativeVQA', build_vqa(torch.float32))):
        torch.save(dict(state_dict=dict(model.named_parameters(remove_duplicate=False))), root / f'{name}.pth')


def shrink_blip_model(model: dict, root: Path) -> None:
    """Gives a recipe's model the tiny geometry, and the files of :func:`write_blip_bases`; the rest stays."""
    tiny = dict(Retriever=retriever_config, GenerativeVQA=vqa_config)[model.type]()
    tied = model.get('decoder', {}).get('tie_word_embeddings')
    towers = ('vision', 'text', 'decoder', 'itc_head', 'itm_head')
    model.update({name: tiny[name] for name in towers if name in model})
    if tied is not None:
        model.decoder.tie_word_embeddings = tied
    model.update(vocabulary=str(root / 'vocabulary'), base_checkpoint=dict(source=str(root / f'{model.type}.pth')))
    if 'max_text_length' in model:
        model.max_text_length = 35
    shrink_methods(model.get('adapter'))


def randomise(model: nn.Module, std: float = 0.2, seed: int = 0) -> nn.Module:
    """Fills every parameter with N(0, std), norm gains with N(1, std)."""
    subjects.randomise(model, seed, std)
    if not hasattr(model, 'queue'):
        return model
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.itc_head.temperature.fill_(0.3)
        for bank in (model.queue.vision, model.queue.text):
            bank.copy_(nn.functional.normalize(torch.randn(bank.shape, generator=generator), dim=-1))
    model.momentum.copy_from(model)
    return model


def build_retriever(dtype=torch.float64, seed: int = 0, **overrides) -> nn.Module:
    """A randomised tiny retriever in eval mode."""
    model = MODELS.build(retriever_config(**overrides)).to(dtype)
    model.eval()
    return randomise(model, seed=seed)


def build_vqa(dtype=torch.float64, seed: int = 0, **overrides) -> nn.Module:
    """A randomised tiny question answerer in eval mode."""
    model = MODELS.build(vqa_config(**overrides)).to(dtype)
    model.eval()
    return randomise(model, seed=seed)


def random_questions(batch: int = 3, **clips):
    """Clips of :func:`random_batch` and samples with questions and one to three weighted answers."""
    clips, samples = random_batch(batch, **clips)
    answers = ['red', 'big circle', 'the small blue square', 'left', 'green']
    for i, sample in enumerate(samples):
        chosen = answers[i : i + 1 + i % 3]
        sample.set_data(
            dict(
                question=sample.text, question_id=i, answers=chosen, weights=[0.2 + 0.3 * j for j in range(len(chosen))]
            )
        )
    return clips, samples


def random_batch(batch: int = 3, frames: int = 2, dtype=torch.float64, seed: int = 1):
    """Normalised clips (B, T, 3, H, W) and samples with captions of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(batch, frames, 3, SIZE, SIZE, generator=generator, dtype=torch.float64).to(dtype)
    captions = [' '.join(WORDS[(3 * i + j) % len(WORDS)] for j in range(3 + i % 4)) for i in range(batch)]
    samples = [BaseDataElement(text=caption, clip_id=i) for i, caption in enumerate(captions)]
    return clips, samples
