"""Annotated clips (or images, or sounds): what every set shares, whatever is asked about them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..registry import TRANSFORMS
from .annotations import AnnotationError, existing
from .few_shot import FIRST, check_fraction, take_fraction
from .in_progress import note_clip
from .readers import ClipError
from .unreadable import MAX_ATTEMPTS, UnreadableClips, UnreadableClipsError

SOURCE = ('name', 'names', 'path', 'paths', 'media', 'start', 'end', 'turns', 'images', 'videos')


class BaseClips(BaseDataset):
    """Samples that each show a clip. A subclass says what they are (:meth:`load_samples`); this class fetches them.

    Args:
        ann_file: Annotation file, relative to ``data_root`` or absolute.
        data_root: Folder of the set. Defaults to '' (the folder of ``ann_file``).
        data_prefix: ``media``: folder of the videos, images or sounds, relative to ``data_root``. Defaults to
            dict(media='').
        pipeline: Transforms. Defaults to ().
        max_unreadable: Training: share of the samples fetched so far, in each process, that may be replaced because
            their clip cannot be read; 4 samples more are tolerated, and 0 tolerates none. Defaults to 0.01.
        skip_unreadable: Test: mark an unreadable clip (``data_samples.unreadable`` = reason) instead of failing; its
            ``inputs`` are another clip's and must be dropped. Defaults to False.
        fraction: Share of the samples that is kept, in (0, 1], see :func:`take_fraction`; the log says how many.
            Defaults to None, all.
        seed: How they are chosen, which must be said: an integer draws them, 'first' takes the first ones. Defaults to
            None, without ``fraction``.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``: ``test_mode``, ``indices``, ``lazy_init``, …

    Raises:
        ValueError: ``fraction`` without ``seed`` or the reverse, or a value out of range.
        AnnotationError: A missing, empty or malformed annotation file, or a path that leaves ``data_root``.
        FileNotFoundError: The media folder is missing.
        ClipError: On fetching, in test mode: a clip cannot be read.
        UnreadableClipsError: On fetching, in training: too many clips cannot be read.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict = dict(media=''),
        pipeline: list[dict | Callable] = (),
        max_unreadable: float = 0.01,
        skip_unreadable: bool = False,
        fraction: float | None = None,
        seed: int | str | None = None,
        **kwargs,
    ) -> None:
        self.unreadable = UnreadableClips(max_unreadable)
        self.skip_unreadable = skip_unreadable
        check_fraction(fraction, seed)
        self.fraction, self.seed = fraction, seed
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        if not data_root:
            data_root, ann_file = str(Path(ann_file).parent), Path(ann_file).name
        super().__init__(
            ann_file=ann_file, data_root=data_root, data_prefix=dict(data_prefix), pipeline=pipeline, **kwargs
        )

    def load_samples(self) -> list[dict]:
        """Samples of the set: dicts with ``name``, ``path`` (or ``names`` and ``paths`` of several images), ``media``
        ('video', 'image' or 'audio'), optionally ``start`` and ``end`` in seconds, and the annotation.
        """
        raise NotImplementedError

    def check_files(self) -> None:
        """Whether annotations and media are there, before anything is read.

        Raises:
            AnnotationError: The annotation file is missing.
            FileNotFoundError: The media folder is missing.
        """
        existing(self.ann_file)
        if not Path(self.data_prefix['media']).is_dir():
            raise FileNotFoundError(
                f'media folder {self.data_prefix["media"]} does not exist (data_root='
                f"'{self.data_root}'); set data_root or data_prefix=dict(media=…)"
            )

    def load_data_list(self) -> list[dict]:
        self.check_files()
        samples = self.load_samples()
        if not samples:
            raise AnnotationError(f'{self.ann_file} holds no annotations')
        if self.fraction is None:
            return samples
        kept = take_fraction(samples, self.fraction, self.seed)
        chosen = 'the first ones' if self.seed == FIRST else f'drawn with seed {self.seed}'
        print_log(
            f'{self.ann_file}: {len(kept):,} of {len(samples):,} samples (fraction={self.fraction:g}), {chosen}',
            logger='current',
            level=logging.INFO,
        )
        return kept

    def __getitem__(self, idx: int) -> dict:
        self.full_init()
        return self._fetch_test(idx) if self.test_mode else self._fetch_train(idx)

    def prepare_data(self, idx: int) -> dict:
        return self._run_pipeline(self.get_data_info(idx))

    def _run_pipeline(self, sample: dict) -> dict:
        note_clip(sample)
        return self.pipeline(sample)

    def _fetch_train(self, idx: int) -> dict:
        self.unreadable.fetched += 1
        for attempt in range(MAX_ATTEMPTS):
            try:
                data = self.prepare_data(idx)
            except ClipError as error:
                self.unreadable.note(error)
                last = error
                if attempt == 0:
                    self.unreadable.count_replaced()
            else:
                if data is not None:
                    return data
                last = 'a step of the pipeline leaves the sample out'
            idx = self._another(idx, attempt)
        raise UnreadableClipsError(f'{MAX_ATTEMPTS} samples in a row cannot be used; the last: {last}')

    def _fetch_test(self, idx: int) -> dict:
        try:
            return self.prepare_data(idx)
        except ClipError as error:
            if not self.skip_unreadable:
                raise
            self.unreadable.note(error)
            reason = error.reason
        info, other = self.get_data_info(idx), idx
        for attempt in range(MAX_ATTEMPTS):
            other = self._another(other, attempt)
            source = self.get_data_info(other)
            stand_in = {key: value for key, value in info.items() if key not in SOURCE}
            stand_in.update({key: source[key] for key in SOURCE if key in source})
            try:
                data = self._run_pipeline(stand_in)
            except ClipError as error:
                self.unreadable.note(error)
                continue
            data['data_samples'].name = info['name']
            data['data_samples'].unreadable = reason
            return data
        raise ClipError(
            info.get('path', info['name']),
            f'{reason}; and no readable clip was found to stand in, {MAX_ATTEMPTS} tried',
        )

    def _another(self, idx: int, attempt: int) -> int:
        """A sample derived from ``idx`` and ``attempt`` alone, so that runs repeat; spread over the set, because the
        samples beside it are captions of the same clip.
        """
        return int(np.random.default_rng([idx % len(self), attempt]).integers(len(self)))
