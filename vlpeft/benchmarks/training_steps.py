"""Training steps of our models, each beside the plain restatement that starts from the same weights."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.registry import MODELS

from .plain_answering import PlainAnswering
from .plain_retrieval import MOMENTUM, PlainRetrieval

VOCABULARY = 30524
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
    vocabulary: int = VOCABULARY

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


@dataclass
class Way:
    """One of the two ways of taking a step.

    Attributes:
        losses: Computes the losses of the batch.
        trained: What trains, by the released names.
        resident: Tensors that are there between steps, the optimiser's apart.
        optimizer: Updates what trains.
        found: The losses of the steps so far.
    """

    losses: Callable[[], dict[str, Tensor]]
    trained: dict[str, Tensor]
    resident: list[Tensor]
    optimizer: torch.optim.Optimizer
    found: list[float] = field(default_factory=list)

    def backward(self) -> Tensor:
        """Forward and backward pass."""
        loss = sum(self.losses().values())
        loss.backward()
        return loss

    def step(self) -> None:
        """A training step; what it draws depends on its number alone."""
        torch.manual_seed(len(self.found))
        loss = self.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.found.append(loss.item())

    def resident_bytes(self) -> int:
        """Bytes of what is resident, each storage once."""
        return sum({value.data_ptr(): value.nbytes for value in self.resident}.values())


@dataclass
class Pair:
    """Ours and the plain way of one step."""

    ours: Way
    plain: Way

    def compare(self, seed: int = 0) -> dict[str, float]:
        """Takes a forward and backward pass of both from the same seed.

        Returns:
            ``losses``: the largest difference of a loss; ``gradients``: that of a gradient's entry, relative to the
            largest entry of the same tensor.
        """
        losses, gradients = [], []
        for way in (self.ours, self.plain):
            torch.manual_seed(seed)
            losses.append(way.backward().item())
            gradients.append({name: value.grad for name, value in way.trained.items()})
            way.optimizer.zero_grad()
        mine, other = gradients
        if mine.keys() != other.keys():
            raise AssertionError(f'other tensors train: {sorted(mine.keys() ^ other.keys())[:5]}')
        return dict(
            losses=abs(losses[0] - losses[1]),
            gradients=max(
                float((mine[name] - other[name]).abs().max() / other[name].abs().max())
                for name in mine
                if not _is_noise(name)
            ),
        )


def _is_noise(name: str) -> bool:
    """Whether a gradient is zero but for rounding: a constant added to all keys cancels in the softmax."""
    return name.endswith(('video_key_adapter.up_proj.bias', 'video_key_adapter.down_proj.bias'))


def write_vocabulary(folder: Path, size: int = VOCABULARY) -> str:
    """A vocabulary of BERT's special tokens and numbered words; ``[DEC]`` and ``[ENC]`` are added by the tokenizer."""
    specials = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    words = [f'w{number}' for number in range(size - len(specials) - 2)]
    (folder / 'vocab.txt').write_text('\n'.join([*specials, *words]) + '\n')
    return str(folder)


def _texts(count: int, words: tuple[int, int], vocabulary: int) -> list[str]:
    """Texts of numbered words, each of a length between ``words``."""
    draw = random.Random(0)
    return [' '.join(f'w{draw.randrange(vocabulary - 7)}' for _ in range(draw.randint(*words))) for _ in range(count)]


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
            trained,
            [*model.parameters(), *model.buffers()],
            torch.optim.AdamW(trained.values(), **settings),
        ),
        plain=Way(
            plain_losses,
            {name: plain.weights[name] for name in trained},
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
    clips, texts = _clips(geometry, batch, frames), _texts(batch, words, geometry.vocabulary)
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
    images, questions = _clips(geometry, batch, 1), _texts(batch, (5, 12), geometry.vocabulary)
    counts = [1 + number % answers for number in range(batch)]
    written = _texts(sum(counts), (1, 3), geometry.vocabulary)
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
