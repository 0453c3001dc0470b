"""DiDeMo paragraph-to-video retrieval (Hendricks et al., ICCV 2017)."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import locate, read_json
from .base_retrieval import BaseRetrieval
from .records import entries, field
from .video_folder import VideoFolder

# Annotators saw the first 30 seconds; some videos go on.
SECONDS = 30


@DATASETS.register_module()
class DiDeMoRetrieval(BaseRetrieval):
    """DiDeMo retrieval: all descriptions of a video, in the order of the file, are one paragraph.

    Frames come from the first 30 seconds, which is what was annotated. A video may carry another suffix than in the
    annotation, see :class:`VideoFolder`.

    Args:
        ann_file: ``train_data.json``, ``val_data.json`` or ``test_data.json``: a list of ``{"video": "…",
            "description": "…"}``; other keys are not used.
        data_prefix: ``media``: folder of the videos. Defaults to dict(media='videos').
        **kwargs: Other arguments of :class:`BaseRetrieval`.
    """

    def __init__(self, ann_file: str, data_prefix: dict = dict(media='videos'), **kwargs) -> None:
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        folder = self.data_prefix['media']
        files = VideoFolder(folder)
        for where, video, paragraph in read_paragraphs(self.ann_file):
            path = locate(files.find(video), folder, (self.data_root, folder), where)
            yield dict(name=video, path=path, media='video', end=SECONDS), paragraph


def read_paragraphs(ann_file: str) -> Iterator[tuple[str, str, str]]:
    """Videos of a file in the order in which they first occur.

    Yields:
        Place of the first description for messages, video name, paragraph.

    Raises:
        AnnotationError: The file is missing or malformed.
    """
    places: dict[str, str] = {}
    texts: dict[str, list[str]] = {}
    for where, entry in entries(ann_file, read_json(ann_file)):
        video = field(where, entry, 'video', str)
        places.setdefault(video, where)
        texts.setdefault(video, []).append(field(where, entry, 'description', str).strip())
    for video, descriptions in texts.items():
        yield places[video], video, ' '.join(descriptions)
