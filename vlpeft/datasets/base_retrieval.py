"""Clips (or images) with captions: what every retrieval set shares."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from ..registry import TRANSFORMS
from .annotations import AnnotationError
from .readers import ClipError
from .transforms import CleanText
from .unreadable import MAX_ATTEMPTS, UnreadableClips, UnreadableClipsError

SOURCE = ('path', 'media', 'start', 'end')


class BaseRetrieval(BaseDataset):
    """Pairs of clips and captions. In training every pair is a sample; in test mode every clip with all its captions.

    A subclass says what the pairs are (:meth:`load_pairs`). Clips are numbered in the order of the annotations; so
    are the captions of the test set, clip by clip.

    Args:
        ann_file (str): Annotation file, relative to ``data_root`` or absolute.
        data_root (str): Folder of the set. Defaults to '' (the folder of ``ann_file``).
        data_prefix (dict): ``media``: folder of the videos or images, relative to ``data_root``. Defaults to
            dict(media='').
        pipeline (list[dict | Callable]): Transforms. Defaults to ().
        max_unreadable (float): Training: share of the samples fetched so far, in each process, that may be replaced
            because their clip cannot be read; 4 samples more are tolerated, and 0 tolerates none. Defaults to 0.01.
        skip_unreadable (bool): Test: mark an unreadable clip (``data_samples.unreadable`` = reason) instead of
            failing; its ``inputs`` are another clip's and must be dropped. Defaults to False.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``: ``test_mode``, ``indices``, ``lazy_init``, …

    Raises:
        AnnotationError: A missing, empty or malformed annotation file, or a path that leaves ``data_root``.
        FileNotFoundError: The media folder is missing.
        ClipError: On fetching, in test mode: a clip cannot be read.
        UnreadableClipsError: On fetching, in training: too many clips cannot be read.
    """

    def __init__(self,
                 ann_file: str,
                 data_root: str = '',
                 data_prefix: dict = dict(media=''),
                 pipeline: list[dict | Callable] = (),
                 max_unreadable: float = 0.01,
                 skip_unreadable: bool = False,
                 **kwargs) -> None:
        self.unreadable = UnreadableClips(max_unreadable)
        self.skip_unreadable = skip_unreadable
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        if not data_root:
            data_root, ann_file = str(Path(ann_file).parent), Path(ann_file).name
        super().__init__(
            ann_file=ann_file, data_root=data_root, data_prefix=dict(data_prefix), pipeline=pipeline, **kwargs)

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        """Yield (clip, caption); a clip is a dict of ``name``, ``path``, ``media`` ('video' or 'image') and optionally
        ``start`` and ``end`` in seconds. Equal names are the same clip."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        if not Path(self.data_prefix['media']).is_dir():
            raise FileNotFoundError(f"media folder {self.data_prefix['media']} does not exist (data_root="
                                    f"'{self.data_root}'); set data_root or data_prefix=dict(media=…)")
        clips: dict[str, dict] = {}
        texts: dict[str, list[str]] = {}
        for clip, text in self.load_pairs():
            clips.setdefault(clip['name'], clip)
            texts.setdefault(clip['name'], []).append(text)
        if not clips:
            raise AnnotationError(f'{self.ann_file} holds no annotations')
        if self.test_mode:
            return [dict(clip, texts=texts[name]) for name, clip in clips.items()]
        numbered = enumerate(clips.items())
        return [dict(clip, text=text, clip_id=number) for number, (name, clip) in numbered for text in texts[name]]

    # ---- the gallery of a test set

    def full_init(self) -> None:
        if not self._fully_initialized:
            super().full_init()
            self._number_gallery()

    def get_subset_(self, indices) -> None:
        super().get_subset_(indices)
        self._number_gallery()

    def get_subset(self, indices) -> 'BaseRetrieval':
        subset = super().get_subset(indices)
        subset._number_gallery()
        return subset

    def _number_gallery(self) -> None:
        if not self.test_mode:
            return
        infos = [super(BaseRetrieval, self).get_data_info(index) for index in range(len(self))]
        clean = [step.transform for step in self.pipeline.transforms if isinstance(step, CleanText)]
        for step in clean:
            infos = [step(info) for info in infos]
        self._clip_names = [info['name'] for info in infos]
        self._texts = [text for info in infos for text in info['texts']]
        self._text_to_clip = [number for number, info in enumerate(infos) for _ in info['texts']]
        self._first_text = [0, *accumulate(len(info['texts']) for info in infos)]

    @property
    @force_full_init
    def clip_names(self) -> list[str]:
        """Names of the test clips by ``clip_id``."""
        return self._clip_names

    @property
    @force_full_init
    def texts(self) -> list[str]:
        """Captions of the test set by ``text_id``, cleaned as the pipeline cleans them."""
        return self._texts

    @property
    @force_full_init
    def text_to_clip(self) -> list[int]:
        """``clip_id`` of each caption of the test set."""
        return self._text_to_clip

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        if self.test_mode:
            clip_id = info['clip_id'] = info['sample_idx']
            info['text_ids'] = list(range(self._first_text[clip_id], self._first_text[clip_id + 1]))
        return info

    # ---- fetching

    def __getitem__(self, idx: int) -> dict:
        self.full_init()
        return self._fetch_test(idx) if self.test_mode else self._fetch_train(idx)

    def _fetch_train(self, idx: int) -> dict:
        self.unreadable.fetched += 1
        for attempt in range(MAX_ATTEMPTS):
            try:
                return self.prepare_data(idx)
            except ClipError as error:
                self.unreadable.note(error)
                last = error
            if attempt == 0:
                self.unreadable.count_replaced()
            idx = self._another(idx, attempt)
        raise UnreadableClipsError(f'{MAX_ATTEMPTS} unreadable clips in a row; the last: {last}')

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
                data = self.pipeline(stand_in)
            except ClipError as error:
                self.unreadable.note(error)
                continue
            data['data_samples'].unreadable = reason
            return data
        raise ClipError(info['path'], f'{reason}; and no readable clip was found to stand in, {MAX_ATTEMPTS} tried')

    def _another(self, idx: int, attempt: int) -> int:
        """A sample derived from ``idx`` and ``attempt`` alone, so that runs repeat; spread over the set, because the
        neighbours of a sample are captions of the same clip."""
        return int(np.random.default_rng([idx % len(self), attempt]).integers(len(self)))
