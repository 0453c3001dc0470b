"""MSVD text-video retrieval (Chen and Dolan, ACL 2011) on the splits of Venugopalan et al. (ICCV 2015)."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_list
from .base_retrieval import BaseRetrieval
from .safe_pickle import read_pickle
from .video_folder import VideoFolder

SPLITS = ('train', 'val', 'test')


@DATASETS.register_module()
class MSVDRetrieval(BaseRetrieval):
    """MSVD retrieval: some 40 captions a clip, each a query of its own in a test.

    A clip is ``{name}.avi``, or has another suffix, see :class:`VideoFolder`.

    Args:
        ann_file: ``raw-captions.pkl``, a dict of lists of captions by clip name, each caption a list of tokens;
            ``train_list.txt``, ``val_list.txt`` and ``test_list.txt`` with one clip name a line are beside it.
        split: 'train', 'val' or 'test'.
        data_prefix: ``media``: folder of the clips. Defaults to dict(media='videos').
        **kwargs: Other arguments of :class:`BaseRetrieval`.

    Raises:
        ValueError: Unknown split.
        AnnotationError: A pickle with more in it than containers and texts; and as :class:`BaseRetrieval`.
    """

    def __init__(self, ann_file: str, split: str, data_prefix: dict = dict(media='videos'), **kwargs) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown MSVD split '{split}'; valid: {', '.join(SPLITS)}")
        self.split = split
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        folder = self.data_prefix['media']
        files = VideoFolder(folder)
        for where, name, captions in read_split(self.ann_file, self.split):
            path = locate(files.find(f'{name}.avi'), folder, (self.data_root, folder), where)
            for caption in captions:
                yield dict(name=name, path=path, media='video'), caption


def read_split(ann_file: str, split: str) -> Iterator[tuple[str, str, list[str]]]:
    """Clips of a split in the order of its list.

    Args:
        ann_file: ``raw-captions.pkl``.
        split: One of ``SPLITS``.

    Yields:
        'file:line' for messages, clip name, captions (tokens joined by blanks).

    Raises:
        AnnotationError: A file is missing or malformed, or a clip of the split has no caption.
    """
    names = list(read_list(str(Path(ann_file).with_name(f'{split}_list.txt'))))
    captions = read_pickle(ann_file)
    if not isinstance(captions, dict):
        raise AnnotationError(f'{ann_file}: expected a dict of captions by clip name, got {type(captions).__name__}')
    for where, name in names:
        if not captions.get(name):
            raise AnnotationError(f"{where}: clip '{name}' has no caption in {ann_file}")
        if not _is_list(captions[name], lambda tokens: _is_list(tokens, lambda token: isinstance(token, str))):
            raise AnnotationError(f"{where}: captions of '{name}' in {ann_file} must be a list of lists of tokens")
        yield where, name, [' '.join(tokens) for tokens in captions[name]]


def _is_list(value: object, check: Callable[[object], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(check, value))
