"""Videos with subtitles from the VALUE benchmark (Li et al., NeurIPS 2021): TVQA, How2QA, TVC and YC2C."""

from collections.abc import Iterator
from numbers import Real

from ..registry import DATASETS
from .annotations import AnnotationError, locate
from .base_caption import BaseCaption
from .base_qa import BaseQA
from .records import entries, field, read_records
from .subtitles import WithSubtitles
from .video_folder import VideoFolder


@DATASETS.register_module()
class VALUEQuestions(WithSubtitles, BaseQA):
    """TVQA or How2QA: questions about a moment of a video, with several answers to choose from.

    Lines ``{"qid", "vid_name", "q", "a0", "a1", …, "ts": "20.16-25.12", "answer_idx"}``; test files lack
    ``answer_idx``. Samples have ``question``, ``ts``, ``choices`` (one text, "a0: He left. a1: …", each choice without
    blanks and periods at its ends and with one period after it), ``subtitles``, and the answer 'a0', 'a1', …. ``name``
    is the ``vid_name``; the video, if pixels are read, is ``{vid_name}.mp4`` or of another suffix.

    Args:
        ann_file: See above.
        subtitles: See :class:`WithSubtitles`.
        num_choices: Answers to choose from: 5 in TVQA, 4 in How2QA.
        **kwargs: Other arguments of :class:`BaseQA`.

    Raises:
        AnnotationError: As in :class:`BaseQA` and :class:`WithSubtitles`.
    """

    def __init__(self, ann_file: str, subtitles: str, num_choices: int, **kwargs) -> None:
        self.num_choices = num_choices
        super().__init__(ann_file, subtitles, **kwargs)

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        folder = self.data_prefix['media']
        files = VideoFolder(folder)
        for where, record in read_records(path):
            question = read_question(where, record, self.num_choices)
            full = locate(files.find(f'{question["name"]}.mp4'), folder, (self.data_root, folder), where)
            yield where, dict(question, path=full, media='video')


@DATASETS.register_module()
class VALUECaptions(WithSubtitles, BaseCaption):
    """TVC or YC2C: descriptions of a moment of a video (TVC) or of a whole one (YC2C).

    Lines ``{"vid_name", "descs": [{"desc"}, …], "ts": [20.16, 25.12], "clip_id"}``; test files lack ``descs``, YC2C has
    no ``ts``. Samples have ``subtitles``, ``vid_name`` and what there is of ``ts`` and ``clip_id``; ``name`` and the
    video are as in :class:`VALUEQuestions`. ``sample_id`` is the ``clip_id`` as a text, by default the name and the
    range.

    Args:
        ann_file (str): See above.
        subtitles (str): See :class:`WithSubtitles`.
        **kwargs: Other arguments of :class:`BaseCaption`.

    Raises:
        AnnotationError: As in :class:`BaseCaption` and :class:`WithSubtitles`.
    """

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        folder = self.data_prefix['media']
        files = VideoFolder(folder)
        for where, record in read_records(self.ann_file):
            clip, captions = read_descriptions(where, record)
            path = locate(files.find(f'{clip["name"]}.mp4'), folder, (self.data_root, folder), where)
            yield where, dict(clip, path=path, media='video'), captions


def read_question(where: str, record: dict, num_choices: int) -> dict:
    """``name``, ``question``, ``question_id``, ``ts``, ``choices`` and, where public, ``gold`` of a record.

    Raises:
        AnnotationError: A key is missing or malformed, or there are more choices.
    """
    names = [f'a{number}' for number in range(num_choices)]
    for key in names:
        if not isinstance(record.get(key), str):
            raise AnnotationError(
                f"{where}: '{key}' must be a text, one of {num_choices} choices; keys found: {', '.join(record)}"
            )
    if f'a{num_choices}' in record:
        raise AnnotationError(f"{where}: 'a{num_choices}' is more than the {num_choices} choices expected")
    question = dict(
        name=field(where, record, 'vid_name', str),
        question=field(where, record, 'q', str),
        question_id=field(where, record, 'qid', int, str),
        ts=_time_stamp(where, record),
        choices=' '.join(f'{name}: {record[name].strip(". ")}.' for name in names),
    )
    if 'answer_idx' in record:
        index = field(where, record, 'answer_idx', int)
        if not 0 <= index < num_choices:
            raise AnnotationError(f"{where}: 'answer_idx' must lie in 0..{num_choices - 1}, got {index}")
        question['gold'] = [names[index]]
    return question


def read_descriptions(where: str, record: dict) -> tuple[dict, list[str]]:
    """Clip (``name``, ``vid_name``, ``sample_id`` and, where given, ``ts`` and ``clip_id``) and its descriptions.

    Raises:
        AnnotationError: A key is missing or malformed.
    """
    name = field(where, record, 'vid_name', str)
    clip = dict(name=name, vid_name=name)
    if 'ts' in record:
        clip['ts'] = _time_stamp(where, record)
    if 'clip_id' in record:
        clip['clip_id'] = field(where, record, 'clip_id', int, str)
    clip['sample_id'] = str(clip.get('clip_id', f'{name}{clip.get("ts", "")}'))
    if 'descs' not in record:
        return clip, []
    return clip, [field(place, entry, 'desc', str) for place, entry in entries(where, record, 'descs')]


def _time_stamp(where: str, record: dict) -> str | list[float]:
    """As annotated: a text in TVQA and How2QA, two numbers in TVC."""
    stamp = record.get('ts')
    is_pair = isinstance(stamp, list) and len(stamp) == 2 and all(isinstance(second, Real) for second in stamp)
    if not is_pair and not (isinstance(stamp, str) and stamp):
        raise AnnotationError(f'{where}: \'ts\' must be like "20.16-25.12" or [20.16, 25.12], got {stamp!r}')
    return stamp
