"""Samples of a config's sets as its model gets them, for a page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement
from torch import nn

from vlpeft.datasets.base_clips import BaseClips
from vlpeft.datasets.checking.sets import CheckedSet, read_sets
from vlpeft.datasets.generators import seeded
from vlpeft.datasets.readers import ClipError
from vlpeft.datasets.transforms import PackChat
from vlpeft.nearest import suggestion
from vlpeft.registry import MODELS
from vlpeft.visualization.samples_page import Card, View

from .browse_pictures import chat_pictures, shown
from .browse_texts import TextReader, chat_texts

#: Fields that are shown as texts, or in another way.
ELSEWHERE = ('weights', 'name', 'frame_indices')


class BrowseError(ValueError):
    """There is no such set or sample."""


def chosen_sets(cfg: Mapping[str, Any], split: str, name: str | None) -> list[CheckedSet]:
    """The sets of a loader.

    Args:
        cfg: Whole config.
        split: 'train', 'val' or 'test'.
        name: Of one of several tasks, such as 'vqa'. Defaults to None, all.

    Raises:
        BrowseError: There is no such set, or its files are missing.
        ValueError: The config has no such loader.
    """
    sets = read_sets(cfg, (split,))
    if name is not None:
        labels = [label.partition('/')[2] for entry in sets for label in entry.labels]
        if name not in labels:
            known = list(dict.fromkeys(label for label in labels if label))
            raise BrowseError(
                f'{split}_dataloader has no set {name!r}'
                + (suggestion(name, known) if known else '; it has one set, which no name tells from others')
            )
        # A task may have several sets, as questions of two sources.
        sets = [entry for entry in sets if name in (label.partition('/')[2] for label in entry.labels)]
    for entry in sets:
        if entry.dataset is None:
            raise BrowseError(f'{entry.name}: {entry.error}')
    return sets


def chosen_indices(entry: CheckedSet, number: int, indices: Sequence[int] | None, seed: int) -> list[int]:
    """Which samples of a set are shown: those that are named, or some that are drawn.

    Raises:
        BrowseError: There is no such sample.
    """
    size = len(entry.dataset)
    if indices is not None:
        for index in indices:
            if not -size <= index < size:
                raise BrowseError(f'{entry.name} has no sample {index}; it has {size:,}, from 0 to {size - 1}')
        return [index % size for index in indices]
    return sorted(np.random.default_rng(seed).choice(size, min(number, size), replace=False).tolist())


class Browser:
    """Makes cards of samples.

    Args:
        model: The task model, on any device, ``meta`` included; its tokenizer is used.
        settings: Config of the model.
    """

    def __init__(self, model: nn.Module, settings: Mapping[str, Any]) -> None:
        self.texts = TextReader(model)
        config = settings.get('data_preprocessor') or dict(type=type(model.data_preprocessor).__name__)
        # The model's own is where the model is, without values.
        self.preprocessor = None if 'pad_token_id' in config or 'Chat' in config['type'] else MODELS.build(dict(config))

    @property
    def normalisation(self) -> str:
        """Mean and standard deviation of each channel; '' where samples are no pixels."""
        if not hasattr(self.preprocessor, 'std'):
            return ''
        mean, std = (
            ', '.join(f'{float(value):.4g}' for value in getattr(self.preprocessor, name).flatten())
            for name in ('mean', 'std')
        )
        return f'mean ({mean}), standard deviation ({std}) of values from 0 to 255'

    def cards(self, entry: CheckedSet, indices: Sequence[int], repeats: int, seed: int) -> Iterator[Card]:
        """One for each sample, with as many views as it is drawn times."""
        for index in indices:
            views, facts = [], []
            for repeat in range(repeats):
                with seeded(int(np.random.SeedSequence([seed, index, repeat]).generate_state(1)[0])):
                    view, found = self._view(entry.dataset, index)
                views.append(view)
                facts = facts or found
            yield Card(index, _name(entry.dataset, index), views, facts)

    def _view(self, dataset: BaseClips, index: int) -> tuple[View, list[tuple[str, str]]]:
        raw = dataset.get_data_info(index)
        try:
            packed = dataset.prepare_data(index)
        except ClipError as error:
            return View(error=f'{error.path}: {error.reason}'), []
        except ValueError as error:
            return View(error=str(error)), []
        if packed is None:
            return View(error='a step of the pipeline leaves this sample out; training takes another one'), []
        inputs, sample = packed['inputs'], packed['data_samples']
        if isinstance(inputs, Mapping):
            packing = next(step for step in dataset.pipeline.transforms if isinstance(step, PackChat))
            pictures, note = chat_pictures(packing.processor, inputs)
            texts = list(chat_texts(packing.processor, inputs))
            shapes = ', '.join(f'{name} {"x".join(map(str, value.shape))}' for name, value in inputs.items())
            return View(pictures, texts, note=note), [('tensors', shapes), *_facts(sample, ())]
        pictures, note = shown(inputs, sample, self.preprocessor)
        return View(pictures, list(self.texts.texts(sample, raw)), note=note), _facts(
            sample, (*ELSEWHERE, *self.texts.fields)
        )


def _name(dataset: BaseClips, index: int) -> str:
    raw = dataset.get_data_info(index)
    names = raw.get('names') or [raw.get('name') or raw.get('sample_id') or '']
    return ', '.join(str(name) for name in names if name != '') or f'sample {index}'


def _facts(sample: BaseDataElement, without: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for name, value in sample.items():
        if name not in without:
            several = isinstance(value, (list, tuple)) and all(isinstance(part, (str, int)) for part in value)
            text = ' '.join((', '.join(map(str, value)) if several else str(value)).split())
            found.append((name, text if len(text) <= 300 else f'{text[:300]} …'))
    return found
