"""The distinct files that the samples of sets show, and what decodes them: the sets' own records, steps, readers."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..feature_cache import describe
from ..readers import FeatureReader
from ..readers.urls import is_inline, is_remote
from ..transforms import Fbank, LoadAudio, LoadClip, LoadFeatures, LoadImages, PackChat
from .sets import CheckedSet

LOADING = (LoadClip, LoadImages, LoadAudio, LoadFeatures, PackChat)


class Loader(NamedTuple):
    """What decodes a file: a reader and, for sounds, the step that may refuse what it has read."""

    reader: Any
    fbank: Fbank | None = None


class Need(NamedTuple):
    """What a sample takes of a file: seconds ``start`` to ``end`` and, of a video, T frames."""

    start: float | None = None
    end: float | None = None
    num_frames: int = 1


@dataclass
class Source:
    """A file, or the features of a name.

    Args:
        media: 'video', 'image', 'audio' or 'feature'.
        path: The file; of features their place for messages.
        name: Name of features; '' for files.
        loader: Number of its :class:`Loader`.
        needs: What samples take of it.
        samples: Numbers of the samples that show it, by the number of the set.
    """

    media: str
    path: str
    name: str
    loader: int
    needs: set[Need] = field(default_factory=set)
    samples: dict[int, list[int]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The file on the disk."""
        return self.path[: -len(self.name) - 2] if self.path.endswith(f'[{self.name}]') else self.path


class Sources:
    """All of them.

    Args:
        sets: The sets; those that could not be read are passed over.

    Attributes:
        loaders: What decodes them.
        by_key: The sources; a key holds path, media and loader.

    Raises:
        ValueError: The pipeline of a set has no step that loads files.
    """

    def __init__(self, sets: list[CheckedSet]) -> None:
        self.loaders: list[Loader] = []
        self.by_key: dict[str, Source] = {}
        self._numbers: dict[str, int] = {}
        for number, entry in enumerate(sets):
            if entry.dataset is not None:
                self._add(number, entry)

    def _add(self, number: int, entry: CheckedSet) -> None:
        step = loading_step(entry)
        fbank = next((other for other in entry.dataset.pipeline.transforms if isinstance(other, Fbank)), None)
        readers = step.readers if isinstance(step, (LoadClip, PackChat)) else {None: step.reader}
        numbered = {media: self._loader(Loader(reader, fbank)) for media, reader in readers.items()}
        for index in range(len(entry.dataset)):
            for media, path, name, need in _files(step, entry.dataset.get_data_info(index)):
                loader, digest = numbered.get(media) or numbered[None]
                source = self.by_key.setdefault(f'{media}|{path}|{digest}', Source(media, path, name, loader))
                source.needs.add(need)
                listed = source.samples.setdefault(number, [])
                if not listed or listed[-1] != index:
                    listed.append(index)

    def _loader(self, loader: Loader) -> tuple[int, str]:
        """Number of a loader, and a short text that is the same for equal ones in every run."""
        text = json.dumps([describe(loader.reader), describe(loader.fbank)], sort_keys=True)
        if text not in self._numbers:
            self._numbers[text] = len(self.loaders)
            self.loaders.append(loader)
        return self._numbers[text], hashlib.sha256(text.encode()).hexdigest()[:12]


def loading_step(entry: CheckedSet) -> LoadClip | LoadImages | LoadAudio | LoadFeatures | PackChat:
    """The step of a set's pipeline that reads files.

    Raises:
        ValueError: There is none.
    """
    step = next((step for step in entry.dataset.pipeline.transforms if isinstance(step, LOADING)), None)
    if step is None:
        raise ValueError(
            f'the pipeline of {entry.name} has none of {", ".join(kind.__name__ for kind in LOADING)}, so '
            'nothing says how its files are read'
        )
    return step


def _files(step, sample: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Need]]:
    """(media, path, name, need) of a sample's files."""
    if isinstance(step, LoadFeatures):
        for name in sample.get('names') or [sample['name']]:
            path = step.reader.path_of(name) if isinstance(step.reader, FeatureReader) else str(name)
            yield 'feature', path, name, Need()
        return
    if 'turns' in sample:
        for path in sample['images']:
            if not (is_inline(path) or is_remote(path)):  # measuring the sample reads these
                yield 'image', os.path.abspath(path), '', Need()
        for path in sample['videos']:
            yield 'video', os.path.abspath(path), '', Need(num_frames=step.num_frames)
        return
    paths = sample['paths'] if 'paths' in sample else [sample['path']]
    media = {LoadImages: 'image', LoadAudio: 'audio'}.get(type(step), sample['media'])
    span = (None, None) if media == 'image' else (sample.get('start'), sample.get('end'))
    num_frames = step.num_frames if media == 'video' else 1
    for path in paths:
        yield media, os.path.abspath(path), '', Need(*span, num_frames)
