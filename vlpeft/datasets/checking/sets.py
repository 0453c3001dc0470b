"""The sets of a config's loaders, each built once, however they are joined."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from ...registry import DATASETS
from ..annotations import AnnotationError
from ..base_clips import BaseClips

SPLITS = ('train', 'val', 'test')


@dataclass
class CheckedSet:
    """A set of a config.

    Args:
        labels: Loaders that show it: 'train', 'test', with several tasks 'train/vqa'.
        config: Its config.
        dataset: The set; None if it could not be read. Defaults to None.
        error: Why not. Defaults to ''.
    """

    labels: list[str]
    config: dict
    dataset: BaseClips | None = None
    error: str = ''

    @property
    def name(self) -> str:
        """For messages: 'val, test: JSONLQA test.jsonl'."""
        return f'{", ".join(self.labels)}: {self.config["type"]} {self.config.get("ann_file", "")}'

    @property
    def splits(self) -> set[str]:
        """'train', 'val', 'test'."""
        return {label.split('/')[0] for label in self.labels}


def read_sets(cfg: dict, splits: tuple[str, ...] = SPLITS) -> list[CheckedSet]:
    """Build the sets of a config's loaders. Joined sets (``ConcatDataset``, ``MultiTaskDataset``, wrappers with a
    ``dataset``) are taken apart; equal ones are built once.

    Args:
        cfg: Config of a run: ``train_dataloader``, ``val_dataloader``, ``test_dataloader``, each a loader or loaders by
            task.
        splits: Which of them. Defaults to all.

    Raises:
        ValueError: None of these loaders is there, one has no set, or a set is not made of files.
    """
    found: dict[str, CheckedSet] = {}
    for label, config in set_configs(cfg, splits):
        entry = found.setdefault(json.dumps(config, sort_keys=True, default=repr), CheckedSet([], config))
        if label not in entry.labels:
            entry.labels.append(label)
    if not found:
        raise ValueError(f'the config has none of {", ".join(f"{split}_dataloader" for split in splits)}')
    for entry in found.values():
        _build(entry)
    return list(found.values())


def set_configs(cfg: dict, splits: tuple[str, ...] = SPLITS) -> Iterator[tuple[str, dict]]:
    """The configs of the sets that a config's loaders show, joined ones taken apart.

    Args:
        cfg: As for :func:`read_sets`.
        splits: Defaults to all.

    Yields:
        Label ('train', with several tasks 'train/vqa') and config.

    Raises:
        ValueError: A loader has no set.
    """
    for split in splits:
        for label, config in _loaders(split, cfg.get(f'{split}_dataloader')):
            for task, leaf in _leaves(config):
                yield f'{split}/{task}' if task else label, leaf


def _loaders(split: str, loader: dict | None) -> Iterator[tuple[str, dict]]:
    """(label, config of a set) of one loader, or of loaders by task."""
    if loader is None:
        return
    loaders = (
        {}
        if not isinstance(loader, dict)
        else {split: loader}
        if 'dataset' in loader
        else {f'{split}/{task}': value for task, value in loader.items()}
    )
    sets = {label: value.get('dataset') if isinstance(value, dict) else None for label, value in loaders.items()}
    if not sets or not all(isinstance(config, dict) for config in sets.values()):
        raise ValueError(f"{split}_dataloader is neither a loader with a 'dataset' nor loaders by task")
    yield from sets.items()


def _leaves(config: dict, task: str = '') -> Iterator[tuple[str, dict]]:
    """(task, config) of the sets that a set is made of."""
    if isinstance(config.get('tasks'), dict):
        for name, part in config['tasks'].items():
            yield from _leaves(part, name)
    elif isinstance(config.get('datasets'), (list, tuple)):
        for part in config['datasets']:
            yield from _leaves(part, task)
    elif isinstance(config.get('dataset'), dict):
        yield from _leaves(config['dataset'], task)
    else:
        yield task, config


def _build(entry: CheckedSet) -> None:
    try:
        dataset = DATASETS.build(dict(entry.config))
        if not isinstance(dataset, BaseClips):
            raise ValueError(
                f'{type(dataset).__name__} ({", ".join(entry.labels)}) is no set of files, nothing of it can be checked'
            )
        dataset.full_init()
    except (AnnotationError, FileNotFoundError) as error:
        entry.error = str(error)
    else:
        entry.dataset = dataset
