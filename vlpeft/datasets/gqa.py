"""GQA: compositional questions about images, one answer each (Hudson and Manning, CVPR 2019)."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import locate
from .base_qa import BaseQA
from .records import read_records
from .scored_answers import read_scored_question


@DATASETS.register_module()
class GQA(BaseQA):
    """Questions about GQA's images from VL-T5's ``train.json``, ``valid.json``, ``testdev.json`` and ``submit.json``.

    Each is a list of ``{img_id, question_id, question or sent, label: {answer: 1.0}}``; ``submit.json`` has no labels.
    ``name`` is the ``img_id`` and the image ``{img_id}.jpg`` in the media folder. Several files are joined by
    MMEngine's ``ConcatDataset``. ``tools/dataset_converters/gqa.py`` makes the files from GQA's own. Arguments and
    errors: :class:`BaseQA`.
    """

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        folder = self.data_prefix['media']
        for where, record in read_records(path):
            question = read_scored_question(where, record, str, int)
            if question.get('label'):
                question['gold'] = list(question['label'])
            full = locate(f'{question["name"]}.jpg', folder, (self.data_root, folder), where)
            yield where, dict(question, path=full, media='image')
