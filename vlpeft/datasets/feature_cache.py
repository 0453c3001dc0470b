"""Vectors of a frozen encoder, computed once for each file and then served in place of pixels or sound.

A cache is a folder. In it each combination of encoder weights, transforms and precision has a folder of its own, named by
a hash, which holds packed files (``features_file.py``), one for each process that wrote. Rows are named by path, range,
size, time of the last change and view, so a changed file finds no row and is computed again. Nothing is deleted.
"""

import hashlib
import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset

from .base_clips import BaseClips
from .features_file import PackedFeatures, file_origin
from .readers import ClipError, PackedHDF5Reader
from .transforms import ComposeText, DrawTarget, PackText

#: With the first of these the part of a pipeline begins that runs for every sample anew.
TEXT_STEPS = (DrawTarget, ComposeText, PackText)
#: Files on which a pipeline is tried for random steps.
TRIED = 8


def clip_sets(dataset: Dataset) -> Iterator[BaseClips]:
    """The sets of files that a dataset is made of.

    Raises:
        ValueError: One of them is not made of files.
    """
    if isinstance(dataset, ConcatDataset):
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
                    raise ValueError(f'{type(step).__name__}(keep_sides=True) looks at the texts of a sample, but a view is '
                                     'computed once for all samples of a file; remove it')
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

    def __init__(self, sources: Sources, store: 'VectorStore', reasons: Mapping[str, str]) -> None:
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


class VectorStore:
    """The folder of one combination.

    Args:
        cache: Folder of all combinations.
        made_by: What decides the vectors of a file, JSON values.
        shape: (K, Dv).
    """

    def __init__(self, cache: str | Path, made_by: Mapping[str, Any], shape: tuple[int, int]) -> None:
        self.cache, self.made_by, self.shape = Path(cache), json.loads(json.dumps(made_by)), shape
        digest = hashlib.sha256(json.dumps(self.made_by, sort_keys=True).encode()).hexdigest()
        self.folder = self.cache / digest[:16]
        self.refresh()

    def refresh(self) -> None:
        """Reads which rows are there."""
        self.parts = sorted(self.folder.glob('*.h5'))
        self.readers = {name: reader for reader in map(PackedHDF5Reader, map(str, self.parts)) for name in reader.names()}

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that have no row."""
        return [name for name in names if name not in self.readers]

    def read(self, name: str) -> np.ndarray:
        """Vectors (K, Dv) float32."""
        return self.readers[name].read(name)

    def writer(self, names: list[str], rank: int) -> PackedFeatures:
        """A new part for ``names``; close it and :meth:`refresh`."""
        path = self.folder / f'part-{len(self.parts):03d}-{rank}.h5'
        return PackedFeatures(path, names, self.shape, self.made_by, dtype='float32')

    def others(self) -> dict[str, list[str]]:
        """Combinations of the cache that are not this one, and in which keys each differs."""
        found = {}
        for folder in sorted(path for path in self.cache.glob('*') if path != self.folder):
            for part in sorted(folder.glob('*.h5'))[:1]:
                origin = file_origin(part)
                found[str(folder)] = [key for key in self.made_by if origin.get(key) != self.made_by[key]]
        return found


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


def seed_of(text: str) -> int:
    """A seed that is the same in every process and run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], 'little')


def _states() -> tuple:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All generators start at ``seed``, and go on afterwards as if nothing had been drawn."""
    python, numpy, torch_state = _states()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)


@contextmanager
def unchanged_generators(step: str) -> Iterator[None]:
    """Refuses a step that draws from a generator.

    Raises:
        ValueError: It does; the message has its name.
    """
    with seeded(0):
        python, numpy, torch_state = _states()
        yield
        now = _states()
        if now[0] != python or not torch.equal(now[2], torch_state) or not np.array_equal(now[1][1], numpy[1]) or (
                now[1][2] != numpy[2]):
            raise ValueError(f'{step} draws at random, so the vectors of a file differ from epoch to epoch; remove it from '
                             'the pipeline, or set views=n of the cache to draw from n fixed views of each file')
