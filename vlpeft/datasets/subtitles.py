"""Subtitles of videos, shared by all questions and captions about a video."""

import logging
import os

from mmengine.logging import print_log

from .annotations import AnnotationError
from .records import entries, field, read_records


class WithSubtitles:
    """Mixin of a :class:`BaseClips` that gives each sample the ``subtitles`` of its video, the clip's ``name``.

    A video of the set without subtitles has an empty text; the log says how many there are.

    Args:
        ann_file: See the set.
        subtitles: Subtitle file, see :func:`read_subtitles`, relative to ``data_root`` or absolute.
        **kwargs: Arguments of the set.

    Raises:
        AnnotationError: The subtitle file is missing or malformed, or has no subtitles of any video of the set.
    """

    def __init__(self, ann_file: str, subtitles: str, **kwargs) -> None:
        self.subtitles = subtitles
        super().__init__(ann_file, **kwargs)

    def load_samples(self) -> list[dict]:
        """Samples of the set that this is mixed into; reads the subtitles of their videos, warns of missing ones."""
        samples = super().load_samples()
        videos = {sample['name'] for sample in samples}
        path = os.path.join(self.data_root, self.subtitles)
        self._subtitles = {video: text for video, text in read_subtitles(path).items() if video in videos}
        missing = sorted(videos - self._subtitles.keys())
        if videos and not self._subtitles:
            raise AnnotationError(f"{path} has no subtitles of the videos of {self.ann_file}, such as '{missing[0]}'")
        if missing:
            print_log(
                f'{self.ann_file}: {len(missing):,} of {len(videos):,} videos have no subtitles in {path}, such '
                f"as '{missing[0]}'; theirs are empty",
                logger='current',
                level=logging.INFO,
            )
        return samples

    def get_data_info(self, idx: int) -> dict:
        """The sample with its ``subtitles``, '' where the video has none."""
        info = super().get_data_info(idx)
        return dict(info, subtitles=self._subtitles.get(info['name'], ''))


def read_subtitles(path: str) -> dict[str, str]:
    """Subtitles by video, all texts joined by single blanks and their times left out.

    Args:
        path: JSON lines ``{"vid_name": str, "sub": [{"text": str, …}, …]}``.

    Raises:
        AnnotationError: The file is missing or a line is malformed.
    """
    found = {}
    for where, record in read_records(path):
        texts = [part.get('text') for _, part in entries(where, record, 'sub')]
        if not all(isinstance(text, str) for text in texts):
            raise AnnotationError(f"{where}: every entry of 'sub' must have a 'text', which is a text")
        found[field(where, record, 'vid_name', str)] = ' '.join(' '.join(texts).split())
    return found
