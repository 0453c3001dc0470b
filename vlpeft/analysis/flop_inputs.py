"""Inputs of given sizes without data or vocabulary, for counting what a model computes and what it takes. They lie on
the model's device; on ``meta`` they take no memory.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from vlpeft.models.backbones import TimeSformer
from vlpeft.models.tokenizer import Tokens
from vlpeft.sites import shapes_suffice
from vlpeft.sites.probe import zeros


@dataclass(frozen=True)
class Sizes:
    """How large a sample is.

    Attributes:
        frames: Of a clip; 1 of an image.
        images: Of a sample, for models that read several; tiles of an image count as images.
        text: Tokens of a text: caption, question or prompt.
        answer: Tokens of an answer or caption that is learned or written.
        batch: Samples of a training step on one device.
        task: Of a model of several tasks.
        picture_tokens: Of an image of an image-text-to-text model; where its grid follows the image, what is asked for.
    """

    frames: int = 1
    images: int = 1
    text: int = 20
    answer: int = 10
    batch: int = 1
    task: str | None = None
    picture_tokens: int = 0


def frames_of(cfg: Mapping[str, Any]) -> int:
    """Frames of a clip by a config's training pipeline; 1 where it loads images."""
    found = list(_values(cfg.get('train_dataloader', {}), 'num_frames'))
    return int(found[0]) if found else 1


def _values(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, Mapping):
        if key in node:
            yield node[key]
        for child in node.values():
            yield from _values(child, key)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _values(child, key)


def words(count: int) -> str:
    """A text of so many tokens for :class:`CountedWords`."""
    return 'w ' * count


class CountedWords:
    """Stands for a tokenizer: a token for each word.

    Args:
        real: The tokenizer in whose place it stands.
    """

    encode_id = decode_id = end_id = 0

    def __init__(self, real: Any) -> None:
        self.max_length, self.vocab_size = real.max_length, real.vocab_size

    def ids(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """Tokens of each text, cut to ``max_length``."""
        limit = self.max_length if max_length is None else max_length
        return [[0] * len(text.split()[:limit]) for text in texts]

    prompts = targets = ids

    def pad(self, ids: Sequence[Sequence[int]], device: torch.device, left: bool = False) -> Tokens:
        """(B, L) of the longest."""
        shape = len(ids), max(map(len, ids))
        return Tokens(*(torch.ones(shape, dtype=torch.long, device=device) for _ in range(2)))

    def __call__(self, texts: Sequence[str], device: torch.device) -> Tokens:
        return self.pad(self.ids(texts), device)


def device_of(module: nn.Module) -> torch.device:
    """Where its parameters are."""
    return next(module.parameters()).device


def tokens(model: nn.Module, count: int, length: int) -> Tokens:
    """(count, length) where a model is."""
    return Tokens(*(torch.ones(count, length, dtype=torch.long, device=device_of(model)) for _ in range(2)))


def pixels(tower: nn.Module, *leading: int) -> torch.Tensor:
    """Pictures of the size that a vision tower reads, (…, 3, H, W)."""
    return zeros(tower, *leading, 3, *image_size(tower))


def image_size(tower: nn.Module) -> tuple[int, int]:
    """(H, W) of the pictures that a vision tower reads."""
    if isinstance(tower, TimeSformer):
        return tower.patch_embed.init_input_size
    size = tower.img_size
    return (size, size) if isinstance(size, int) else tuple(size)


def samples(sizes: Sizes) -> list[BaseDataElement]:
    """Samples of a training step with all fields that a task may read."""
    return [
        BaseDataElement(
            text=words(sizes.text),
            question=words(sizes.text),
            target=words(sizes.answer),
            answers=[words(sizes.answer)],
            weights=[1.0],
            weight=1.0,
            clip_id=number,
            task=sizes.task,
        )
        for number in range(sizes.batch)
    ]


def picture_tokens(model: nn.Module, sizes: Sizes, attention: str = 'eager') -> torch.Tensor:
    """Rows (R, W) that an image-text-to-text model makes of the pictures of a sample.

    Args:
        model: On ``meta``, or with weights.
        sizes: Of the sample.
        attention: Of :func:`~vlpeft.sites.shapes_suffice`.

    Raises:
        ValueError: The family's way from pictures to tokens is not known here.
    """
    tower = model.towers['vision']
    given = dict(tower.probe(tower.module))
    inner = getattr(model.vlm, 'model', model.vlm)
    with shapes_suffice(model.vlm, attention):
        if 'grid_thw' in given:  # the grid follows the image; a token is a square of patches
            side = tower.module.spatial_merge_size
            height, width = _about_square(sizes.picture_tokens)
            patches = torch.zeros(
                sizes.images * height * width * side * side, given['hidden_states'].shape[1], device=device_of(model)
            )
            grid = torch.tensor([[1, height * side, width * side]] * sizes.images)
            found = inner.get_image_features(patches.to(model.vlm.dtype), image_grid_thw=grid)
        elif 'patch_attention_mask' in given:  # Idefics and SmolVLM, whose own way counts pixels
            given['pixel_values'] = given['pixel_values'].repeat(sizes.images, 1, 1, 1)
            given['patch_attention_mask'] = given['patch_attention_mask'].repeat(sizes.images, 1, 1)
            found = inner.connector(tower.module(**given)[0])
        else:
            found = inner.get_image_features(given['pixel_values'].repeat(sizes.images, 1, 1, 1))
    found = getattr(found, 'pooler_output', found)
    parts = [found] if isinstance(found, torch.Tensor) else list(found)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])


def _about_square(count: int) -> tuple[int, int]:
    """Height and width of so many tokens, as near to each other as can be."""
    height = next(side for side in range(math.isqrt(count), 0, -1) if count % side == 0)
    return height, count // height
