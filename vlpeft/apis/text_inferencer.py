"""From files to texts that a model writes about them: what answering and captioning share."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vlpeft.datasets import ClipError
from vlpeft.datasets.in_progress import naming_dead_workers
from vlpeft.engine.progress import Steps

from .adapted_inferencer import AdaptedInferencer
from .media_files import PathLike
from .task_pipeline import TaskPipeline, find_pipeline


class Found(NamedTuple):
    """What came of an item: a ``text`` with its ``score``, or the reason why there is none (``error``)."""

    text: str | None
    score: float | None
    error: str | None


class TextInferencer(AdaptedInferencer):
    """Base of inferencers whose model writes a text about each file, as its config's test does.

    Args:
        model, checkpoint, device, dtype, adapters, overrides: As of :class:`AdaptedInferencer`.
        task: Which of several tasks of the config's test. Defaults to None, the only one that fits.
    """

    #: Field of the prediction, fields that are given beside the file, and what a progress bar says.
    output: str
    given: tuple[str, ...] = ()
    doing: str

    own_options = ('task',)

    def read_config(self, cfg: Config, name: str, task: str | None = None) -> None:
        """How the config's test reads a file. Errors: see :func:`find_pipeline`."""
        self.reading = find_pipeline(cfg, name, self.output, self.given, task)
        self.batch_size = self.reading.batch_size
        self._reads = threading.RLock()

    @property
    def media(self) -> tuple[str, ...]:
        """Kinds of files that the model takes, of 'image', 'video' and 'audio'."""
        return self.reading.media

    def preprocess(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """A packed sample of an item, as the config's test pipeline makes it.

        Args:
            item: ``path`` and what is asked.

        Raises:
            ClipError: The file cannot be read, is of a kind that the model does not take, or not what its suffix says.
        """
        return self.reading.sample(item)

    def forward(self, samples: Sequence[Mapping[str, Any]], scores: bool = False) -> list[tuple[str, float | None]]:
        """Texts of packed samples of one shape, with their scores where these are asked for, by the adapter that acts.

        Raises:
            NonFiniteError: A sample's scores are NaN or infinite.
        """
        data = self.model.data_preprocessor(self.reading.collate(list(samples)), False)
        data = dict(data, inputs=self._in_format(data['inputs']))
        with torch.no_grad():
            if scores:
                best = [found[0] for found in self.model(**data, mode='candidates')]
                return [(one.text, one.probability) for one in best]
            return [(sample.get(self.output), None) for sample in self.model(**data, mode='predict')]

    def run(
        self, items: Sequence[Mapping[str, Any]], batch_size: int | None, adapter: Any, scores: bool
    ) -> list[Found]:
        """What comes of each item, in their order.

        Raises:
            ValueError: There is no such adapter, or ``batch_size`` is below 1.
        """
        chosen = self._chosen(adapter)
        size = self.batch_size if batch_size is None else batch_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f'batch_size={size!r}; it is a number of samples, at least 1')
        found: list[Found] = []
        with progress(self.doing, len(items), size) as show:
            for batch in self._read(items, size):
                found += self._answered(batch, chosen, scores)
                show(len(batch))
        return found

    def _read(self, items: Sequence[Mapping[str, Any]], size: int) -> Iterator[list[dict | str]]:
        """Batches of packed samples, or of the reasons why there is none."""
        workers = self.reading.num_workers if len(items) > size else 0
        loader = DataLoader(_Items(items, self.reading), size, num_workers=workers, collate_fn=list)
        batches = iter(loader)
        # In this process steps of the pipeline, such as tokenizers of transformers, serve one thread at a time.
        turn = nullcontext() if workers else self._reads
        while True:
            with turn, naming_dead_workers():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _answered(self, batch: Sequence[dict | str], adapter: str | None, scores: bool) -> list[Found]:
        found = [Found(None, None, sample if isinstance(sample, str) else None) for sample in batch]
        shapes: dict[Any, list[int]] = {}
        for row, sample in enumerate(batch):
            if not isinstance(sample, str):
                inputs = sample['inputs']
                shapes.setdefault(tuple(inputs.shape) if isinstance(inputs, Tensor) else None, []).append(row)
        for rows in shapes.values():
            with self._adapters.using(adapter):
                texts = self.forward([batch[row] for row in rows], scores)
            for row, (text, score) in zip(rows, texts):
                found[row] = Found(text, score, None)
        return found


class _Items(Dataset):
    """Packed samples of items, or the reasons why there is none."""

    def __init__(self, items: Sequence[Mapping[str, Any]], reading: TaskPipeline) -> None:
        self.items, self.reading = items, reading

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> dict | str:
        try:
            return self.reading.sample(self.items[number])
        except ClipError as error:
            return error.reason or str(error)


@contextmanager
def progress(doing: str, count: int, size: int) -> Iterator[Callable[[int], None]]:
    """A bar of ``count`` items on standard error, if they are more than a batch."""
    if count <= size:
        yield lambda done: None
        return
    with Steps(doing, count, on_error=True) as steps:
        yield steps.step


def paths_of(files: PathLike | Sequence[PathLike]) -> tuple[list[str], bool]:
    """Paths as texts, and whether it was a single one.

    Raises:
        ValueError: There is none.
        TypeError: It is no path.
    """
    single = isinstance(files, (str, Path))
    named = [files] if single else list(files)
    if not named:
        raise ValueError('no file is given')
    if wrong := [path for path in named if not isinstance(path, (str, Path))]:
        raise TypeError(f'{wrong[0]!r} is no path of a file')
    return [str(path) for path in named], single


def refuse_if_none(files: Sequence[str], found: Sequence[Found]) -> None:
    """Raises ClipError if no file at all could be used."""
    if all(one.error is not None for one in found):
        if len(set(files)) == 1:
            raise ClipError(files[0], found[0].error)
        raise ClipError(f'none of {len(set(files))} files can be used; the first, {files[0]}: {found[0].error}')
