"""MSRVTT-QA and MSVD-QA, in the layouts found on disk (Xu et al., ACM MM 2017)."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_list
from .base_qa import BaseQA, question_type
from .records import field, read_records
from .scored_answers import read_scored_question
from .video_folder import VideoFolder, clip_name


@DATASETS.register_module()
class VideoQA(BaseQA):
    """Open-ended questions about videos, each with one answer, or with several that have scores.

    Reads a JSON list or JSON lines of ``{"video_id": 7010, "question", "answer", "id"}`` (as published), of
    ``{"video": "video7010.mp4", "question", "answer", "question_id"}`` or, as eP-ALM has it, of ``{"video", "question"
    or "sent", "label": {answer: score}, "question_id"}``; the suffix in ``video`` may be left out. The file itself may
    have another suffix, see :class:`VideoFolder`. A single answer has the score 1. ``question_type`` is the class of
    the first word (what, who, how, when, where, other).

    Args:
        ann_file: ``train_qa.json``, ``val_qa.json`` or ``test_qa.json``, or a ``.jsonl``.
        mapping: ``youtube_mapping.txt`` of MSVD, relative to ``data_root``: lines of a clip's name and its number.
            ``video_id`` 12 is then the clip whose line ends with vid12, an ``.avi``. Defaults to None: ``video12.mp4``,
            as in MSR-VTT.
        data_prefix: ``media``: folder of the videos. Defaults to dict(media='videos').
        **kwargs: Other arguments of :class:`BaseQA`.
    """

    def __init__(
        self, ann_file: str, mapping: str | None = None, data_prefix: dict = dict(media='videos'), **kwargs
    ) -> None:
        self.mapping = mapping
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        folder = self.data_prefix['media']
        files = VideoFolder(folder)
        for where, video, question in read_questions(path, self.mapping and self.resolve(self.mapping)):
            full = locate(files.find(video), folder, (self.data_root, folder), where)
            yield (
                where,
                dict(
                    question,
                    name=clip_name(video),
                    path=full,
                    media='video',
                    question_type=question_type(question['question']),
                ),
            )


def read_questions(path: str, mapping: str | None = None) -> Iterator[tuple[str, str, dict]]:
    """Questions of a file.

    Args:
        path: The file, in one of the layouts of :class:`VideoQA`.
        mapping: MSVD's ``youtube_mapping.txt``. Defaults to None.

    Yields:
        Place for messages, video file, and ``question``, ``question_id``, ``gold``, ``label`` and, where the file has
        scores, ``weights``.

    Raises:
        AnnotationError: A file is missing or malformed, or the mapping lacks a clip.
    """
    names = None if mapping is None else read_mapping(mapping)
    for where, record in read_records(path):
        question = _scored(where, record) if 'label' in record else _answered(where, record)
        yield where, _video(where, record, names), question


def read_mapping(path: str) -> dict[str, str]:
    """Clip names by number ('vid1') from lines ``mv89psg6zh4_33_46 vid1``.

    Raises:
        AnnotationError: The file is missing or a line has another form.
    """
    names = {}
    for where, line in read_list(path):
        words = line.split()
        if len(words) != 2 or not words[1].startswith('vid'):
            raise AnnotationError(
                f"{where}: expected a clip's name and its number, like 'mv89psg6zh4_33_46 vid1', got '{line}'"
            )
        names[words[1]] = words[0]
    return names


def _scored(where: str, record: dict) -> dict:
    question = read_scored_question(where, record, int, str, name='video')
    return dict(question, gold=list(question['label']))


def _answered(where: str, record: dict) -> dict:
    number = field(where, record, 'id' if 'id' in record else 'question_id', int, str)
    answer = field(where, record, 'answer', str)
    return dict(question=field(where, record, 'question', str), question_id=number, gold=[answer], label={answer: 1.0})


def _video(where: str, record: dict, names: dict[str, str] | None) -> str:
    suffix = '.mp4' if names is None else '.avi'
    if 'video' in record:
        video = field(where, record, 'video', str)
        return video if '.' in video else video + suffix
    number = field(where, record, 'video_id', int)
    if names is None:
        return f'video{number}{suffix}'
    if f'vid{number}' not in names:
        raise AnnotationError(f'{where}: the mapping file has no vid{number}')
    return names[f'vid{number}'] + suffix
