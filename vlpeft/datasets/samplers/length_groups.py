"""Batches of samples that are about equally long, so that little of a batch is padding.

Samples are shuffled, cut into windows, sorted by length within each window and cut into batches, which are shuffled
again. So what comes together is still a matter of chance, and of the seed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import Sampler

from ...registry import DATA_SAMPLERS
from ..annotations import AnnotationError, read_json

LETTERS_PER_TOKEN = 4
TEXTS = ('question', 'caption')


@DATA_SAMPLERS.register_module()
class LengthGroupedBatchSampler(Sampler):
    """Batch sampler of samples that differ in length; all processes have batches of about one length in a step.

    Every sample comes once in an epoch; a set that does not divide by the number of processes is filled up with the
    first samples of the epoch's order, which is that of MMEngine's ``DefaultSampler``. The batch with the longest
    sample comes first, so that a lack of memory shows at once. Batches are a pure function of (seed, epoch, rank,
    number of processes).

    Args:
        sampler: Seed, epoch, ``shuffle`` and process; the runner builds it from
            ``sampler=dict(type='DefaultSampler', shuffle=True)`` with the run's seed unless ``seed`` is given. Without
            ``shuffle`` neither samples nor batches are.
        batch_size: Batch size per process.
        window: Batches of all processes whose samples are sorted together: the more, the less padding and the less
            chance. Defaults to 50.
        lengths: File with the length of each sample, a JSON list of numbers; ``vlpeft check-data`` writes one for each
            chat set. Defaults to None: they are estimated from letters and ``media_tokens``.
        media_tokens: Tokens for which an image or a video counts where lengths are estimated. Defaults to 256.
        drop_last: Whether the last samples of an epoch that fill no batch of all processes are left out. Defaults to
            False.

    Raises:
        TypeError: Not a ``DefaultSampler``, or a set whose samples cannot be looked at.
        ValueError: A number below 1, or ``sampler.round_up=False``, with which the processes' numbers of batches could
            differ.
        AnnotationError: The file of lengths is missing, or is of another set.
    """

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        window: int = 50,
        lengths: str | None = None,
        media_tokens: int = 256,
        drop_last: bool = False,
    ) -> None:
        if not isinstance(sampler, DefaultSampler):
            raise TypeError(
                "LengthGroupedBatchSampler needs train_dataloader.sampler=dict(type='DefaultSampler', …), got "
                f'{type(sampler).__name__}'
            )
        if not sampler.round_up:
            raise ValueError(
                'train_dataloader.sampler.round_up=False could give the processes different numbers of batches; leave '
                'it at True'
            )
        for name, value in dict(batch_size=batch_size, window=window, media_tokens=media_tokens).items():
            if value < 1:
                raise ValueError(f'batch_sampler.{name} must be at least 1, got {value}')
        self.sampler, self.batch_size, self.window, self.drop_last = sampler, batch_size, window, drop_last
        number = len(sampler.dataset)
        self.lengths = estimated_lengths(sampler.dataset, media_tokens) if lengths is None else _stored(lengths, number)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = self.sampler.rank, self.sampler.world_size
        draw = torch.Generator().manual_seed(self.sampler.seed + self.sampler.epoch)
        number = len(self.lengths)
        order = torch.randperm(number, generator=draw) if self.sampler.shuffle else torch.arange(number)
        order = order.numpy()
        order = np.concatenate([order, np.resize(order, -number % world)])
        together = self.batch_size * world
        if self.drop_last:
            order = order[: len(order) // together * together]
        batches = []
        for start in range(0, len(order), self.window * together):
            block = order[start : start + self.window * together]
            block = block[np.argsort(-self.lengths[block], kind='stable')]
            batches += [block[at : at + together] for at in range(0, len(block), together)]
        if self.sampler.shuffle:
            batches = [batches[place] for place in torch.randperm(len(batches), generator=draw).tolist()]
            longest = max(range(len(batches)), key=lambda place: self.lengths[batches[place]].max(), default=0)
            batches[:1], batches[longest : longest + 1] = batches[longest : longest + 1], batches[:1]
        return (batch[rank::world].tolist() for batch in batches)

    def __len__(self) -> int:
        """Number of batches of an epoch, the same on every process."""
        share = -(-len(self.lengths) // self.sampler.world_size)
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)


def estimated_lengths(dataset: Any, media_tokens: int) -> np.ndarray:
    """Lengths in tokens of the samples of a set, without loading what they show.

    Args:
        dataset: With ``get_data_info``.
        media_tokens: For each image or video.

    Returns:
        float64 (N,).

    Raises:
        TypeError: The set does not show its samples.
    """
    if not hasattr(dataset, 'get_data_info'):
        raise TypeError(
            f'LengthGroupedBatchSampler estimates lengths from get_data_info, which {type(dataset).__name__} has not; '
            'give a file with lengths'
        )
    return np.array([_estimate(dataset.get_data_info(index), media_tokens) for index in range(len(dataset))], float)


def _estimate(sample: Mapping[str, Any], media_tokens: int) -> float:
    """Of a conversation, a question with answers, or a caption."""
    said = [part['text'] for turn in sample.get('turns', ()) for part in turn['content'] if part['type'] == 'text']
    if 'turns' in sample:
        shown = len(sample['images']) + len(sample['videos'])
    else:
        said = [sample[name] for name in TEXTS if name in sample] + list(sample.get('answers', ()))[:1]
        shown = len(sample.get('paths', ('',)))
    return sum(map(len, said)) / LETTERS_PER_TOKEN + media_tokens * shown


def _stored(path: str, number: int) -> np.ndarray:
    found = read_json(str(Path(path).expanduser()))
    if not isinstance(found, list) or not all(type(value) in (int, float) and value >= 0 for value in found):
        raise AnnotationError(f'{path}:1: expected a list of lengths, numbers from 0')
    if len(found) != number:
        raise AnnotationError(f'{path}: holds {len(found):,} lengths, the set has {number:,} samples')
    return np.array(found, float)
