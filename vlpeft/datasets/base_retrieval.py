"""Clips (or images) with captions: what every retrieval set shares."""

from collections.abc import Iterator
from itertools import accumulate

from mmengine.dataset import force_full_init

from .base_clips import BaseClips
from .transforms import CleanText


class BaseRetrieval(BaseClips):
    """Pairs of clips and captions. In training every pair is a sample; in test mode every clip with all its captions.

    A subclass says what the pairs are (:meth:`load_pairs`). Clips are numbered in the order of the annotations; so
    are the captions of the test set, clip by clip. Arguments and errors: :class:`BaseClips`.
    """

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        """Yield (clip, caption); a clip is a dict of ``name``, ``path``, ``media`` ('video' or 'image') and optionally
        ``start`` and ``end`` in seconds. Equal names are the same clip.
        """
        raise NotImplementedError

    def load_samples(self) -> list[dict]:
        clips: dict[str, dict] = {}
        texts: dict[str, list[str]] = {}
        for clip, text in self.load_pairs():
            clips.setdefault(clip['name'], clip)
            texts.setdefault(clip['name'], []).append(text)
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
