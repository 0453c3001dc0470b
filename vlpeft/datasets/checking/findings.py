"""What a check finds: kinds, and findings of single files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .sets import CheckedSet
from .sources import Source

KINDS = dict(
    annotations='annotation files or folders that the set refuses',
    missing='files or features that are not there',
    unreadable='files that cannot be decoded, or that hold NaN or Inf',
    crash='files on which the process that decodes ended',
    too_short='files that end before an annotated range does, or have fewer frames than a sample takes',
    refused="conversations that the model's processor or chat template refuses",
    too_long='conversations with more tokens than max_length, those of images included',
    wrong_type='files whose content is not what their suffix or the annotation says',
    duplicate_file='different files of one split with the same content',
    duplicate_record='texts that are annotated more than once for the same files',
    overlap_path='files of training that are also validated or tested on',
    overlap_content='files of training whose content is also validated or tested on, under another name',
    answers_outside="answers that are not in the set's list",
    captions_in_both='captions of training that are also captions of validation or test',
)


@dataclass
class Finding:
    """One finding.

    Args:
        kind: One of :data:`KINDS`.
        subject: The file, text or annotation file.
        detail: What is wrong with it.
        sets: Sets that it concerns.
        samples: Samples that it concerns. Defaults to 0, unknown.
        first_sample: Number of the first of them in the first of the sets. Defaults to None.
    """

    kind: str
    subject: str
    detail: str
    sets: list[str]
    samples: int = 0
    first_sample: int | None = None


def refused_sets(sets: list[CheckedSet]) -> Iterator[Finding]:
    """Sets that could not be read."""
    for entry in sets:
        if entry.dataset is None:
            yield Finding('annotations', entry.config.get('ann_file', ''), entry.error, [entry.name])


def problems_of_files(
    sets: list[CheckedSet], sources: Mapping[str, Source], results: Mapping[str, dict]
) -> Iterator[Finding]:
    """What was wrong with each file by itself."""
    for key, source in sources.items():
        for kind, reason in results[key]['problems']:
            yield Finding(kind, source.path, reason, **concerned(sets, source))


def concerned(sets: list[CheckedSet], source: Source) -> dict:
    """Sets and samples that show a file, as arguments of :class:`Finding`."""
    first = next(iter(source.samples))
    return dict(
        sets=[sets[number].name for number in source.samples],
        samples=sum(map(len, source.samples.values())),
        first_sample=source.samples[first][0],
    )
