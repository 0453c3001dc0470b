"""Clips on disk whose suffix is not the annotation's."""

import os

SUFFIXES = frozenset('.3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv'.split())


class VideoFolder:
    """Finds the file of a clip by its name up to the first dot.

    Clips get re-encoded (``a.mov`` becomes ``a.mp4``), and DiDeMo's download script turns ``a.mov`` into
    ``a.mov.mp4``. Files that are no videos by their suffix (sound tracks, half downloads) are passed over.

    Args:
        folder (str): Folder of the clips; subfolders are not searched, and a folder that is not there is empty.
    """

    def __init__(self, folder: str) -> None:
        self._names = frozenset(os.listdir(folder) if os.path.isdir(folder) else ())
        self._by_stem: dict[str, str] = {}
        for name in sorted(self._names):
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                self._by_stem.setdefault(name.partition('.')[0], name)

    def find(self, name: str) -> str:
        """File name of a clip.

        Args:
            name (str): As the annotation has it.

        Returns:
            str: ``name`` itself if there is such a file; else the first in alphabetical order that differs from the
            first dot on; else ``name``, for the reader to report.
        """
        return name if name in self._names else self._by_stem.get(name.partition('.')[0], name)
