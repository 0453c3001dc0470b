"""Training steps of BLIP with UniAdapter, each beside the plain restatement that starts from the same weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.registry import MODELS

from .plain_answering import PlainAnswering
from .plain_retrieval import MOMENTUM, PlainRetrieval
from .ways import Pair, Way
from .words import random_texts

DECAY = 0.995


@dataclass
class Geometry:
    """Sizes of a BLIP; the defaults are BLIP-base's, r that of the paper's video tasks."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    image: int = 224
    patch: int = 16
    bottleneck: int = 128
    kv_bottleneck: int | None = None
    queue: int = 57600
    vocabulary: int = 30524

    def vision(self) -> dict:
        """The vision tower's config."""
        arch = dict(
            embed_dims=self.width, num_layers=self.depth, num_heads=self.heads, feedforward_channels=self.hidden
        )
        return dict(
            type='mmpretrain.VisionTransformer',
            arch=arch,
            img_size=self.image,
            patch_size=self.patch,
            out_type='raw',
            final_norm=True,
        )

    def text(self, kind: str = 'BlipTextEncoder') -> dict:
        """The text tower's config, without dropout, which no two ways of computing draw alike."""
        return dict(
            type=kind,
            vocab_size=self.vocabulary,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            hidden=self.hidden,
            context_width=self.width,
            dropout=0.0,
        )

    def adapter(self) -> dict:
        """UniAdapter, all of whose terms act from the first step on."""
        return dict(type='UniAdapter', bottleneck=self.bottleneck, kv_bottleneck=self.kv_bottleneck, init='normal')


def _released(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights by their released names; those that are one tensor stay one, and what trains trains."""
    keymap, copies, found = get_dialect('uniadapter').keymap, {}, {}
    for name, param in model.named_parameters(remove_duplicate=False):
        if id(param) not in copies:
            copies[id(param)] = param.detach().clone().requires_grad_(param.requires_grad)
        found[keymap.to_theirs(name)] = copies[id(param)]
    return found


def _pair(model: nn.Module, losses: Callable, plain: PlainRetrieval | PlainAnswering, plain_losses: Callable) -> Pair:
    """Both ways with AdamW: ours with torch's choice of an implementation, over what trains; the plain one with its
    loop over tensors, over all.
    """
    keymap, settings = get_dialect('uniadapter').keymap, dict(lr=1e-5, weight_decay=0.05)
    trained = {keymap.to_theirs(name): param for name, param in model.named_parameters() if param.requires_grad}
    unique = {id(value): value for value in plain.parameters()}
    return Pair(
        ours=Way(
            losses,
            lambda: {name: param.grad for name, param in trained.items()},
            [*model.parameters(), *model.buffers()],
            torch.optim.AdamW(trained.values(), **settings),
        ),
        plain=Way(
            plain_losses,
            lambda: {name: plain.weights[name].grad for name in trained},
            plain.resident(),
            torch.optim.AdamW(unique.values(), foreach=False, fused=False, **settings),
        ),
    )


def _clips(geometry: Geometry, batch: int, frames: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, frames, 3, geometry.image, geometry.image, generator=generator)


def retrieval(geometry: Geometry, vocabulary: str, batch: int, frames: int, words: tuple[int, int] = (6, 14)) -> Pair:
    """A retrieval step of ``batch`` clips, one caption of ``words`` words to each; frame-aware where there are several
    frames.
    """
    model = MODELS.build(
        dict(
            type='Retriever',
            vision=geometry.vision(),
            text=geometry.text(),
            vocabulary=vocabulary,
            itc_head=dict(
                type='ITCHead',
                vision_width=geometry.width,
                text_width=geometry.width,
                embed_width=min(256, geometry.width),
                queue_size=geometry.queue,
            ),
            itm_head=dict(type='ITMHead', width=geometry.width),
            momentum=dict(decay=DECAY, adapter_decay=DECAY**2),
            adapter=geometry.adapter(),
            frame_aware=True,
        )
    ).train()
    weights = _released(model)
    copies = {}
    for name, value in weights.items():
        part, _, rest = name.partition('.')
        if part in MOMENTUM:
            copies[f'{part}_m.{rest}'] = value.detach().clone()
    queue = dict(vision=model.queue.vision.clone(), text=model.queue.text.clone(), ids=model.queue.ids.clone())
    plain = PlainRetrieval(
        {**weights, **copies}, queue, geometry.heads, frames, model.itc_head.alpha, DECAY, model.tokenizer.encode_id
    )
    clips, texts = _clips(geometry, batch, frames), random_texts(batch, words, geometry.vocabulary)
    samples = [BaseDataElement(text=text, clip_id=number) for number, text in enumerate(texts)]
    return _pair(
        model,
        lambda: model.loss(clips, samples),
        plain,
        lambda: plain.loss(clips, model.tokenizer.ids(texts), torch.arange(batch)),
    )


def answering(geometry: Geometry, vocabulary: str, batch: int, answers: int = 3) -> Pair:
    """A question-answering step of ``batch`` images, each with a question and one to ``answers`` weighted answers."""
    model = MODELS.build(
        dict(
            type='GenerativeVQA',
            vision=geometry.vision(),
            text=geometry.text(),
            decoder=geometry.text('BlipTextDecoder'),
            vocabulary=vocabulary,
            adapter=geometry.adapter(),
        )
    ).train()
    plain = PlainAnswering(_released(model), geometry.heads, model.tokenizer.encode_id, model.tokenizer.decode_id)
    images, questions = _clips(geometry, batch, 1), random_texts(batch, (5, 12), geometry.vocabulary)
    counts = [1 + number % answers for number in range(batch)]
    written = random_texts(sum(counts), (1, 3), geometry.vocabulary)
    shares = [1 / count for count in counts for _ in range(count)]
    samples, start = [], 0
    for question, count in zip(questions, counts):
        own = slice(start, start + count)
        samples.append(BaseDataElement(question=question, answers=written[own], weights=shares[own]))
        start += count
    ids = model.tokenizer.ids
    return _pair(
        model,
        lambda: model.loss(images, samples),
        plain,
        lambda: plain.loss(images, ids(questions), ids(written), counts, torch.tensor(shares)),
    )
