"""Benchmarks in VLMEvalKit's tables (Duan et al., ACM MM 2024): MMBench, MMMU, AI2D, DocVQA."""

import re
from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .annotations import AnnotationError, locate
from .base_qa import BaseQA
from .vlmeval_rows import LONGEST_INDEX, choices_of, read_rows, texts_of

BASE64 = re.compile(r'[A-Za-z0-9+/]+={0,2}')
#: Kinds of pictures by how their base64 text begins.
KINDS = {'/9j/': 'jpeg', 'iVBORw0KGgo': 'png', 'R0lGOD': 'gif', 'UklGR': 'webp', 'Qk': 'bmp'}
ASK = 'Please select the correct answer from the options above.'


@DATASETS.register_module()
class VLMEvalTSV(BaseQA):
    """Questions from a TSV file of VLMEvalKit, of which one annotation file is a whole benchmark.

    Columns are ``index``, ``question``, ``image`` (a picture as base64 text, a list of them, or the index of the row
    that has it) or ``image_path`` (relative to the media folder; a list of them), ``answer`` (a letter where there are
    choices, else a text or a list of texts; it may be missing in a test set), and optionally the choices ``A``, ``B``,
    …, ``hint``, ``category`` and ``l2-category``. Pictures in the table are given to the pipeline as ``data:`` URLs
    in memory; no file is written.

    With choices, the question is asked as VLMEvalKit does: hint, question, options, and a request to select one; the
    texts are in ``choices`` as well, for :class:`~vlpeft.evaluation.metrics.ChoiceMetric`. ``question_type`` is the
    category and ``answer_type`` the ``l2-category``.

    Args:
        ann_file: The table, relative to ``data_root`` or absolute.
        largest_image: Bytes that a picture in the table may have. Defaults to 32 MiB.
        **kwargs: Arguments of :class:`BaseQA`.

    Raises:
        AnnotationError: As in :class:`BaseQA`; a row without picture or question; a picture that is no base64 text of a
            JPEG, PNG, GIF, WebP or BMP file, or too large; a single choice; an answer that is none of the
            letters.
    """

    def __init__(self, ann_file: str, largest_image: int = 32 << 20, **kwargs) -> None:
        self.largest_image = largest_image
        super().__init__(ann_file, **kwargs)

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        rows = list(read_rows(path))
        pictures = {row['index']: row['image'] for _, row in rows if len(row.get('image', '')) > LONGEST_INDEX}
        numbers = all(re.fullmatch('[0-9]{1,18}', row['index']) for _, row in rows)
        for where, row in rows:
            question = self._pictures(where, row, pictures)
            question.update(_asked(where, row), question_id=int(row['index']) if numbers else row['index'])
            kinds = dict(question_type='category', answer_type='l2-category')
            question.update({field: row[column] for field, column in kinds.items() if column in row})
            yield where, question

    def _pictures(self, where: str, row: dict[str, str], pictures: dict[str, str]) -> dict:
        folder = self.data_prefix['media']
        if 'image' in row:
            text = pictures.get(row['index'], pictures.get(row['image']))
            if text is None:
                raise AnnotationError(
                    f"{where}: 'image' is neither a picture as base64 text nor the index of a row that has one: "
                    f'{row["image"]}'
                )
            paths = [self._url(where, image) for image in texts_of(where, 'image', text)]
        elif 'image_path' in row:
            names = texts_of(where, 'image_path', row['image_path'])
            paths = [locate(name, folder, (self.data_root, folder), where) for name in names]
        else:
            raise AnnotationError(f"{where}: needs 'image' or 'image_path'; columns found: {', '.join(row)}")
        name = f'{Path(self.ann_file).name}#{row["index"]}'
        several = dict(names=[f'{name}.{number}' for number in range(len(paths))], paths=paths)
        return dict(name=name, media='image', **(dict(path=paths[0]) if len(paths) == 1 else several))

    def _url(self, where: str, image: str) -> str:
        """``data:`` URL of a picture."""
        image = ''.join(image.split())
        if len(image) * 3 // 4 > self.largest_image:
            raise AnnotationError(
                f"{where}: 'image' has {len(image) * 3 // 4:,} bytes, more than largest_image={self.largest_image:,}"
            )
        kind = next((kind for start, kind in KINDS.items() if image.startswith(start)), None)
        if kind is None or len(image) % 4 or not BASE64.fullmatch(image):
            raise AnnotationError(
                f"{where}: 'image' is no base64 text of a {', '.join(KINDS.values())} file, it begins with {image:.20}"
            )
        return f'data:image/{kind};base64,{image}'


def _asked(where: str, row: dict[str, str]) -> dict:
    """``question``, ``gold`` and ``choices``, where there are."""
    if not row.get('question', '').strip():
        raise AnnotationError(f"{where}: 'question' is empty")
    choices, found = choices_of(row), {}
    if len(choices) == 1:
        raise AnnotationError(
            f'{where}: there is one choice, {", ".join(choices)}; a question has two or more, or none'
        )
    hint = [f'Hint: {row["hint"]}'] if 'hint' in row else []
    if not choices:
        found['question'] = '\n'.join([*hint, row['question']])
        if 'answer' in row:
            found['gold'] = texts_of(where, 'answer', row['answer'])
        return found
    options = [f'{letter}. {text}' for letter, text in choices.items()]
    found['question'] = '\n'.join([*hint, f'Question: {row["question"]}', 'Options:', *options, ASK])
    if 'answer' in row:
        if row['answer'] not in choices:
            raise AnnotationError(
                f"{where}: 'answer' must be one of the letters {', '.join(choices)}, got {row['answer']:.40}"
            )
        found['gold'] = [row['answer']]
    return dict(found, choices=choices)
