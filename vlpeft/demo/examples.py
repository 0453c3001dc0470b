"""Examples to click: the lines of a config's test data, as far as they are on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlpeft.datasets import ClipError
from vlpeft.datasets.annotations import AnnotationError
from vlpeft.datasets.base_caption import BaseCaption
from vlpeft.datasets.base_qa import BaseQA
from vlpeft.datasets.base_retrieval import BaseRetrieval
from vlpeft.datasets.jsonl_chat import JSONLChat
from vlpeft.datasets.readers.urls import is_inline
from vlpeft.registry import DATASETS

SHOWN = 4


class Example(NamedTuple):
    """A file of the test data, what is asked of it, and what is right.

    Args:
        path: The file.
        text: A caption to search by, or a question; '' where a caption is asked for.
        truths: Right answers or captions; empty where the test data do not have them.
    """

    path: str
    text: str = ''
    truths: tuple[str, ...] = ()


def read_examples(data: Mapping[str, Any]) -> list[Example]:
    """All lines of a test set that show one whole file.

    Args:
        data: Config of the set.

    Returns:
        In the order of the data; none where they are not on this machine, or are of another kind.
    """
    kind = DATASETS.get(data['type'])
    if kind is None or not issubclass(kind, (BaseRetrieval, BaseQA, BaseCaption, JSONLChat)):
        return []
    try:
        # Only the lines are read; steps of the pipeline might need what the examples do not.
        dataset = DATASETS.build(dict(data, pipeline=[], test_mode=True))
    except (AnnotationError, ClipError, OSError):
        return []
    samples = (dataset.get_data_info(number) for number in range(len(dataset)))
    return [example for sample in samples for example in _examples(sample)]


def spread(examples: Sequence[Example], count: int = SHOWN) -> list[Example]:
    """At most ``count`` of them, from all over the list, of different files."""
    chosen: dict[str, Example] = {}
    for place in range(count):
        after = examples[place * len(examples) // count :]
        new = next((item for item in after if item.path not in chosen and Path(item.path).is_file()), None)
        if new is not None:
            chosen[new.path] = new
    return list(chosen.values())


def _examples(sample: dict) -> list[Example]:
    path = _only_file(sample)
    if path is None:
        return []
    if 'texts' in sample:
        return [Example(path, text) for text in sample['texts']]
    if 'question' in sample:
        return [Example(path, sample['question'], tuple(dict.fromkeys(sample.get('gold', ()))))]
    return [Example(path, '', tuple(dict.fromkeys(sample.get('references', ()))))]


def _only_file(sample: dict) -> str | None:
    """The file that a sample shows; None if it shows a part of it or others too, or is a longer conversation."""
    if 'turns' in sample:
        shown = [*sample['images'], *sample['videos']]
        return shown[0] if len(shown) == len(sample['turns']) == 1 and not is_inline(shown[0]) else None
    return sample.get('path') if sample.get('start') is None and sample.get('end') is None else None
