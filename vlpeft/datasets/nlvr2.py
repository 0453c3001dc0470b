"""NLVR2: is a statement about two images true? Suhr et al., ACL 2019."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import AnnotationError, locate
from .base_qa import BaseQA
from .records import field, read_records

VERDICTS = ('false', 'true')


@DATASETS.register_module()
class NLVR2(BaseQA):
    """Statements about pairs of images from VL-T5's ``train.json``, ``valid.json`` and ``test.json``.

    Each is a list of ``{identifier, img0, img1, sent, label}`` with ``label`` 0 or 1, absent where it is not public.
    Samples have ``statement``, two ``names`` and ``paths``, and the answer 'true' or 'false'; ``question_id`` and
    ``name`` are the identifier. ``tools/dataset_converters/nlvr2.py`` makes the files from NLVR2's own. Arguments and
    errors: :class:`BaseQA`.

    The images lie as NLVR2 ships them, ``dev/dev-850-0-img0.png`` and ``test1/…``; training images have one folder
    more, ``train/34/train-10171-0-img0.png``, which the key ``directory`` names (the converter writes it).
    """

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        folder = self.data_prefix['media']
        for where, record in read_records(path):
            statement = read_statement(where, record)
            paths = [locate(image, folder, (self.data_root, folder), where) for image in images(record)]
            yield where, dict(statement, paths=paths, media='image')


def read_statement(where: str, record: dict) -> dict:
    """``name``, ``names``, ``statement``, ``question_id`` and, with a label, ``gold`` of a record.

    Raises:
        AnnotationError: A key is missing, the identifier is not of four parts, or the label neither 0 nor 1.
    """
    identifier = field(where, record, 'identifier', str)
    if identifier.count('-') != 3:
        raise AnnotationError(f"{where}: 'identifier' must be like train-10171-0-0, got '{identifier}'")
    statement = dict(
        name=identifier,
        names=[field(where, record, key, str) for key in ('img0', 'img1')],
        statement=field(where, record, 'sent', str),
        question_id=identifier,
    )
    if 'label' in record:
        label = field(where, record, 'label', int)
        if label not in (0, 1):
            raise AnnotationError(f"{where}: 'label' must be 0 or 1, got {label}")
        statement['gold'] = [VERDICTS[label]]
    return statement


def images(record: dict) -> list[str]:
    """Files of a record's two images, relative to the folder of all images."""
    folders = [record['identifier'].split('-')[0]]
    if 'directory' in record:
        folders.append(str(record['directory']))
    return ['/'.join([*folders, f'{record[key]}.png']) for key in ('img0', 'img1')]
