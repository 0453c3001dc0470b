"""Vectors of a frozen encoder, computed once for each file and then served in place of pixels or sound.

Rows of the store are named by path, range, size, time of the last change and view, so a changed file finds no row and
is computed again.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dataset import Compose
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset

from .base_clips import BaseClips
from .generators import seed_of, seeded, unchanged_generators
from .readers import ClipError
from .seeded_samples import SeededSamples
from .transforms import ComposeText, DrawTarget, PackSample
from .vector_store import VectorStore

#: With the first of these the part of a pipeline begins that runs for every sample anew.
TEXT_STEPS = (DrawTarget, ComposeText, PackSample)
#: Files on which a pipeline is tried for random steps.
TRIED = 8


def clip_sets(dataset: Dataset) -> Iterator[BaseClips]:
    """The sets of files that a dataset is made of.

    Raises:
        ValueError: One of them is not made of files.
    """
    if isinstance(dataset, SeededSamples):
        yield from clip_sets(dataset.dataset)
    elif isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            yield from clip_sets(part)
    elif isinstance(dataset, BaseClips):
        yield dataset
    else:
        raise ValueError(f'{type(dataset).__name__} is no set of files, so its vectors cannot be cached')


def describe(value: Any) -> Any:
    """What decides the result of a transform, as JSON: names of classes and functions, and all settings."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, nn.Module):
        return [repr(value), {name: describe(buffer.tolist()) for name, buffer in value.named_buffers()}]
    if hasattr(value, '__qualname__'):
        return value.__qualname__
    return [type(value).__name__, describe(vars(value)) if hasattr(value, '__dict__') else str(value)]


class Sources(Dataset):
    """The distinct files of a set, each with ``views`` views; gives (row name, tensor) or (row name, reason).

    Args:
        dataset: The set, whose pipeline starts with the steps that load and transform files.
        views: Views of a file, seeded by its place and the number of the view. None: the steps draw nothing.

    Raises:
        ValueError: A step draws at random though ``views`` is None, or looks at the texts.
    """

    def __init__(self, dataset: BaseClips, views: int | None = None) -> None:
        self.dataset = dataset
        dataset.full_init()
        transforms = dataset.pipeline.transforms
        first_text = next(i for i, step in enumerate(transforms) if isinstance(step, TEXT_STEPS))
        self.steps, self.text_steps = transforms[:first_text], transforms[first_text:]
        self.views = views
        samples = {}
        for index in range(len(dataset)):
            samples.setdefault(source_of(dataset.get_data_info(index)), index)
        self.rows = [(source, view, index) for source, index in samples.items() for view in range(views or 1)]
        self.names = {(source, view): f'{source}|{stamp_of(source)}|{view}' for source, view, _ in self.rows}
        self._check_random()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[str, Tensor | str]:
        source, view, index = self.rows[number]
        name = self.names[source, view]
        results = self.dataset.get_data_info(index)
        with seeded(seed_of(f'{source}|{view}')):
            try:
                for step in self.steps:
                    results = step(results)
            except ClipError as error:
                return name, error.reason
        return name, results['clip'] if 'clip' in results else results['features']

    def _check_random(self) -> None:
        if self.views is not None:
            for step in self.steps:
                if getattr(step, 'keep_sides', False):
                    raise ValueError(
                        f'{type(step).__name__}(keep_sides=True) looks at the texts of a sample, but a '
                        'view is computed once for all samples of a file; remove it'
                    )
            return
        for _, _, index in self.rows[:TRIED]:
            results = self.dataset.get_data_info(index)
            try:
                for step in self.steps:
                    with unchanged_generators(type(step).__name__):
                        results = step(results)
            except ClipError:
                continue


class CachedVectors:
    """The first step of a pipeline whose files are cached: adds ``features``, a float tensor (K, Dv).

    Args:
        sources: Whose rows it serves.
        store: Which holds them.
        reasons: Why rows are not there, by their names.
    """

    def __init__(self, sources: Sources, store: VectorStore, reasons: Mapping[str, str]) -> None:
        self.names, self.views = sources.names, sources.views
        self.store, self.reasons = store, reasons

    def __call__(self, results: dict) -> dict:
        source = source_of(results)
        # One view draws nothing, so the random steps that follow draw as they do without a cache.
        view = int(torch.randint(self.views, ())) if self.views else 0
        name = self.names[source, view]
        if name in self.reasons:
            raise ClipError(results['path'], self.reasons[name])
        results['features'] = torch.from_numpy(self.store.read(name))
        return results

    def serve(self, sources: Sources) -> None:
        """Puts itself in place of the steps that load and transform files."""
        sources.dataset.pipeline = Compose([self, *sources.text_steps])


def source_of(results: Mapping[str, Any]) -> str:
    """Path and range of a sample's file."""
    return f'{os.path.abspath(results["path"])}|{results.get("start", "")}-{results.get("end", "")}'


def stamp_of(source: str) -> str:
    """Size and time of the last change of a source's file; empty if there is none."""
    try:
        stat = os.stat(source.rsplit('|', 1)[0])
    except FileNotFoundError:
        return ''
    return f'{stat.st_size}-{stat.st_mtime_ns}'
