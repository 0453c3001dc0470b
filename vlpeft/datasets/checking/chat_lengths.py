"""How long the conversations of a set are in the tokens of its model, those of images included, before training."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..readers import ClipError
from ..readers.urls import is_inline, is_remote
from ..transforms import PackChat
from ..transforms.pack_chat import tokens_of
from .decode import stamp_of
from .findings import Finding
from .sets import CheckedSet

QUANTILES = (0, 0.5, 0.9, 0.99, 1)


class ChatLengths:
    """Samples of the sets whose pipelines end with :class:`PackChat`, and what measures them.

    Args:
        sets: The sets; those that could not be read, and others, are passed over.

    Raises:
        ValueError: The processor of a set cannot be loaded.
    """

    def __init__(self, sets: Sequence[CheckedSet]) -> None:
        self.sets = {number: entry for number, entry in enumerate(sets) if _packing(entry) is not None}
        for entry in self.sets.values():
            _ = _packing(entry).processor  # refused here once, rather than for each sample
        self._digests = {
            number: hashlib.sha256(json.dumps(entry.config, sort_keys=True, default=repr).encode()).hexdigest()[:12]
            for number, entry in self.sets.items()
        }

    def keys(self) -> Iterator[str]:
        """A key for each sample."""
        for number, entry in self.sets.items():
            yield from (f'tokens|{number}|{index}' for index in range(len(entry.dataset)))

    def place(self, key: str) -> tuple[str, ...]:
        """What a sample, and its result, is known by in other runs."""
        number, index = _parts(key)
        sample = self.sets[number].dataset.get_data_info(index)
        paths = [*sample.get('images', ()), *sample.get('videos', ()), *sample.get('paths', (sample.get('path', ''),))]
        content = json.dumps([sample, *map(stamp_of, paths)], sort_keys=True, default=repr)
        return 'tokens', self._digests[number], str(index), hashlib.sha256(content.encode()).hexdigest()[:24]

    def measure(self, key: str) -> dict:
        """``tokens`` of a sample, 0 where there are none to be counted, and ``problems`` as those of files."""
        number, index = _parts(key)
        entry = self.sets[number]
        torch.manual_seed(index)
        sample = entry.dataset.get_data_info(index)
        try:
            for step in entry.dataset.pipeline.transforms:
                if isinstance(step, PackChat):
                    return dict(tokens=tokens_of(step.inputs(sample)), problems=[])
                sample = step(sample)
                if sample is None:
                    break
        except ClipError as error:
            if is_inline(error.path) or is_remote(error.path):  # no file, among which all others are found
                return dict(tokens=0, problems=[(error.kind, f'{error.path}: {error.reason}')])
        except ValueError as error:
            return dict(tokens=0, problems=[('refused', str(error))])
        return dict(tokens=0, problems=[])

    def lengths(self, results: Mapping[str, dict]) -> dict[int, list[int]]:
        """Tokens of each sample, by the number of the set."""
        return {
            number: [results[f'tokens|{number}|{index}'].get('tokens', 0) for index in range(len(entry.dataset))]
            for number, entry in self.sets.items()
        }

    def findings(self, results: Mapping[str, dict]) -> Iterator[Finding]:
        """Samples that the processor refuses, and those that are longer than ``max_length``."""
        for key in self.keys():
            number, index = _parts(key)
            entry, result = self.sets[number], results[key]
            limit, tokens = _packing(entry).max_length, result.get('tokens', 0)
            problems = list(result['problems'])
            if limit is not None and tokens > limit:
                problems.append(('too_long', f'{tokens:,} tokens, max_length is {limit:,}'))
            for kind, reason in problems:
                yield Finding(kind, _subject(entry, index), reason, [entry.name], 1, index)


def describe(lengths: Sequence[int]) -> dict[str, Any]:
    """Quantiles of the lengths that could be counted; {} if none could.

    Returns:
        ``samples``, and ``shortest``, ``half``, ``90 %``, ``99 %`` and ``longest``, in tokens: so many samples have at
        most so many.
    """
    known = [length for length in lengths if length]
    if not known:
        return {}
    names = ('shortest', 'half', '90 %', '99 %', 'longest')
    found = np.quantile(known, QUANTILES, method='inverted_cdf')
    return dict(samples=len(known), **dict(zip(names, map(int, found))))


def write_lengths(folder: Path, entry: CheckedSet, lengths: Sequence[int]) -> str:
    """Writes the lengths of a set for :class:`LengthGroupedBatchSampler`; returns the file."""
    path = folder / f'lengths_{"_".join(entry.labels).replace("/", "_")}.json'
    path.write_text(json.dumps(list(lengths)))
    return str(path)


def max_length(entry: CheckedSet) -> int | None:
    """The limit of a set of conversations."""
    return _packing(entry).max_length


def _packing(entry: CheckedSet) -> PackChat | None:
    steps = entry.dataset.pipeline.transforms if entry.dataset is not None else ()
    return next((step for step in steps if isinstance(step, PackChat)), None)


def _parts(key: str) -> tuple[int, int]:
    _, number, index = key.split('|')
    return int(number), int(index)


def _subject(entry: CheckedSet, index: int) -> str:
    sample = entry.dataset.get_data_info(index)
    key = sample.get('sample_id', sample.get('question_id', index))
    return f'{entry.config.get("ann_file", "")}: sample {key!r} {sample.get("name", "")}'.rstrip()
