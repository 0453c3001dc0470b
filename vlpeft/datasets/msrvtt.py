"""MSR-VTT text-video retrieval in the two layouts found on disk (Xu et al., CVPR 2016)."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_csv, read_json
from .base_retrieval import BaseRetrieval
from .records import entries, field, read_records

# Name: (file with the clip ids beside MSRVTT_data.json, or value of its "split" field; clips; captions)
SPLITS = dict(
    train_9k=('MSRVTT_train.9k.csv', 9000, 180000),
    train_7k=('MSRVTT_train.7k.csv', 7010, 140200),
    test_1ka=('MSRVTT_JSFUSION_test.csv', 1000, 1000),
    train_full=('train', 6513, 130260),
    val_full=('validate', 497, 9940),
    test_full=('test', 2990, 59800),
)


@DATASETS.register_module()
class MSRVTTRetrieval(BaseRetrieval):
    """MSR-VTT retrieval, from the CLIP4Clip layout or from JSON lines (ALPRO, BLIP); videos are ``{id}.mp4``.

    Args:
        ann_file: ``MSRVTT_data.json`` (CLIP4Clip layout, its CSV files beside it), or a file of lines ``{"clip_name":
            "video7020", "caption": "…"}``, which is its own split.
        split: Split of the CLIP4Clip layout: 'train_9k', 'train_7k', 'test_1ka' (1k-A), 'train_full', 'val_full' or
            'test_full'. Defaults to None, for JSON lines.
        data_prefix: ``media``: folder of the videos. Defaults to dict(media='videos').
        **kwargs: Other arguments of :class:`BaseRetrieval`.

    Raises:
        ValueError: Unknown split, or a split asked of JSON lines.
    """

    def __init__(
        self, ann_file: str, split: str | None = None, data_prefix: dict = dict(media='videos'), **kwargs
    ) -> None:
        if ann_file.endswith('.jsonl'):
            if split is not None:
                raise ValueError(f"{ann_file} is one split by itself; set split=None instead of '{split}'")
        elif split not in SPLITS:
            raise ValueError(f"unknown MSR-VTT split '{split}'; valid: {', '.join(SPLITS)}")
        self.split = split
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        folder, clips = self.data_prefix['media'], {}
        pairs = read_lines(self.ann_file) if self.split is None else read_split(self.ann_file, self.split)
        for where, name, caption in pairs:
            if name not in clips:
                path = locate(f'{name}.mp4', folder, (self.data_root, folder), where)
                clips[name] = dict(name=name, path=path, media='video')
            yield clips[name], caption


def read_lines(path: str) -> Iterator[tuple[str, str, str]]:
    """Captions of a JSON-lines file as ('file:line', clip name, caption)."""
    for where, record in read_records(path):
        yield where, field(where, record, 'clip_name', str), field(where, record, 'caption', str)


def read_split(ann_file: str, split: str) -> Iterator[tuple[str, str, str]]:
    """Captions of a split of the CLIP4Clip layout.

    The ``start time`` and ``end time`` of its videos refer to the web videos that the clips were cut from, so they are
    not used.

    Args:
        ann_file: ``MSRVTT_data.json``.
        split: Key of ``SPLITS``.

    Yields:
        Place for messages, clip name, caption.

    Raises:
        AnnotationError: A file is missing or malformed, or a clip of the split has no caption.
    """
    source = SPLITS[split][0]
    listing = str(Path(ann_file).with_name(source))
    if split == 'test_1ka':
        for where, row in read_csv(listing, 'video_id', 'sentence'):
            yield where, row['video_id'], row['sentence']
        return
    if source.endswith('.csv'):
        names = [(where, row['video_id']) for where, row in read_csv(listing, 'video_id')]
        data = read_json(ann_file)
    else:
        data = read_json(ann_file)
        videos = _entries(ann_file, data, 'videos', 'video_id', 'split')
        names = [(where, video['video_id']) for where, video in videos if video['split'] == source]
    captions: dict[str, list[str]] = {}
    for _, sentence in _entries(ann_file, data, 'sentences', 'video_id', 'caption'):
        captions.setdefault(sentence['video_id'], []).append(sentence['caption'])
    for where, name in names:
        if name not in captions:
            raise AnnotationError(f"{where}: clip '{name}' has no caption in {ann_file}")
        for caption in captions[name]:
            yield where, name, caption


def _entries(ann_file: str, data: object, key: str, *keys: str) -> Iterator[tuple[str, dict]]:
    """Entries of one of the lists of ``MSRVTT_data.json``, each with its place and texts under ``keys``."""
    for where, entry in entries(ann_file, data, key):
        for name in keys:
            if not isinstance(entry.get(name), str):
                raise AnnotationError(f"{where}: '{name}' must be a text")
        yield where, entry
