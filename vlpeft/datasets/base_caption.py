"""Clips (or images) to be described: what every captioning set shares."""

from collections.abc import Iterator

from .annotations import AnnotationError
from .base_clips import BaseClips


class BaseCaption(BaseClips):
    """Captions of clips. In training every caption is a sample; in test mode every clip with all its captions.

    A subclass says what the captions are (:meth:`load_captions`). Training samples have ``caption``; test samples have
    ``sample_id`` and, where they are public, ``references``. Arguments and errors: :class:`BaseClips`.
    """

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        """Yield (place for messages, clip, captions).

        A clip is a dict of ``name``, ``path``, ``media``, ``start`` and ``end`` (see :class:`BaseClips`), ``sample_id``
        (int or str) and what else a pipeline needs. Equal ids are the same clip, and two files of one id
        an error. No captions mean that they are not public.
        """
        raise NotImplementedError

    def load_samples(self) -> list[dict]:
        return self._test_samples() if self.test_mode else list(self._training_samples())

    def _training_samples(self) -> Iterator[dict]:
        for where, clip, captions in self.load_captions():
            if not captions:
                raise AnnotationError(f'{where}: no captions, training needs them')
            kept = {key: value for key, value in clip.items() if key != 'sample_id'}
            for caption in captions:
                yield dict(kept, caption=caption)

    def _test_samples(self) -> list[dict]:
        samples: dict[int | str, dict] = {}
        places: dict[int | str, str] = {}
        for where, clip, captions in self.load_captions():
            sample = samples.setdefault(clip['sample_id'], clip)
            first = places.setdefault(clip['sample_id'], where)
            if any(sample.get(key) != clip.get(key) for key in ('path', 'paths')):
                raise AnnotationError(
                    f'{where}: sample_id {clip["sample_id"]!r} was already used at {first} for '
                    f'{sample.get("path", sample.get("paths"))}'
                )
            if captions:
                sample.setdefault('references', []).extend(captions)
        return list(samples.values())
