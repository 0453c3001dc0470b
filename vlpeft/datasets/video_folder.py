"""Clips on disk whose suffix is not the annotation's."""

import os

SUFFIXES = frozenset('.3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv'.split())


def clip_name(file: str) -> str:
    """A file's name without the suffixes of videos at its end: 'a' of ``a.mov.mp4``, 'talk.part1' of
    ``talk.part1.mp4``.
    """
    while True:
        stem, suffix = os.path.splitext(file)
        if suffix.lower() not in SUFFIXES:
            return file
        file = stem


class VideoFolder:
    """Finds the file of a clip by its name without the suffixes of videos (:func:`clip_name`).

    Clips get re-encoded (``a.mov`` becomes ``a.mp4``), and DiDeMo's download script turns ``a.mov`` into
    ``a.mov.mp4``. Files that are no videos by their suffix (sound tracks, half downloads) are passed over.

    Args:
        folder: Folder of the clips; subfolders are not searched, and a folder that is not there is empty.
    """

    def __init__(self, folder: str) -> None:
        self._names = frozenset(os.listdir(folder) if os.path.isdir(folder) else ())
        self._by_name: dict[str, str] = {}
        for file in sorted(self._names):
            if os.path.splitext(file)[1].lower() in SUFFIXES:
                self._by_name.setdefault(clip_name(file), file)

    def find(self, name: str) -> str:
        """File name of a clip.

        Args:
            name: As the annotation has it.

        Returns:
            ``name`` itself if there is such a file; else the first in alphabetical order that differs in its suffixes
            alone; else ``name``, for the reader to report.
        """
        return name if name in self._names else self._by_name.get(clip_name(name), name)
