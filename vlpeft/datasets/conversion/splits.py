"""What the converters share: check the size of a split, write it as JSON lines, list the media files that are missing.

A line is JSONLRetrieval's, ``{"video" or "image": path, "caption": text or list}``, or a question's, with "question" in
place of "caption"; a converter that writes other lines says what file they are about.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vlpeft.atomic import write_atomically
from vlpeft.datasets.annotations import AnnotationError

EPILOG = """
Files in DST are replaced whole or not at all; running it again changes nothing. Splits that cannot be converted and
media files that are not there are listed.
Exit code: 0 all splits written; 1 a split could not be converted.
"""


class Size(NamedTuple):
    """What a split must hold; ``clips`` or ``texts`` (captions or questions) are None where releases differ."""

    clips: int | None
    texts: int | None = None

    def describe(self, noun: str) -> str:
        """In words; ``noun`` says what the texts are."""
        counts = ((self.clips, 'clips'), (self.texts, noun))
        return ' with '.join(f'{count:,} {name}' for count, name in counts if count is not None)


def parse_args(
    description: str,
    sources: str,
    splits: Sequence[str],
    default: Sequence[str],
    media: str,
    example: str,
    argv: Sequence[str] | None = None,
) -> argparse.Namespace:
    """Command line of a converter: SRC, DST, ``--splits`` and ``--media``.

    Args:
        description: One line on what is converted.
        sources: What SRC holds and what is written.
        splits: Names of all splits.
        default: Splits that are converted unless told otherwise.
        media: Media folder below SRC, '.' for SRC.
        example: Arguments of an example.
        argv: What is parsed. Defaults to None, the arguments of the process.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f'{sources}{EPILOG}\nExample: python tools/dataset_converters/{example}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('src', type=Path, metavar='SRC', help='folder of the annotation files')
    parser.add_argument('dst', type=Path, metavar='DST', help='folder for the converted files (made if absent)')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=list(splits),
        default=list(default),
        metavar='SPLIT',
        help=f'splits to convert: {", ".join(splits)} (default: {" ".join(default)})',
    )
    parser.add_argument(
        '--media',
        '--videos',
        type=Path,
        metavar='DIR',
        help=f'folder of the videos or images to check (default: {"SRC" if media == "." else f"SRC/{media}"})',
    )
    args = parser.parse_args(argv)
    args.media = args.media or args.src / media
    return args


def own_file(line: dict) -> str:
    """Media file of a line for JSONLRetrieval."""
    return line['video'] if 'video' in line else line['image']


def convert(
    args: argparse.Namespace,
    sizes: Mapping[str, Size],
    load: Callable[[str], list[dict]],
    file_of: Callable[[dict], str | Sequence[str]] = own_file,
    noun: str = 'captions',
    name: str = '{}.jsonl',
    strict: bool = True,
) -> int:
    """Convert the splits of the command line and report on each.

    Args:
        args: From :func:`parse_args`.
        sizes: Size of every split.
        load: Lines of a split; raises AnnotationError.
        file_of: Media file or files of a line, relative to the media folder. Defaults to :func:`own_file`.
        noun: What the texts of a line are. Defaults to 'captions'.
        name: Name of a split's file in DST; a name that ends with ``.json`` gets one list in place of lines. Defaults
            to '{}.jsonl'.
        strict: Refuse a split of another size; otherwise the difference is said. Defaults to True.

    Returns:
        Exit code.
    """
    files: dict[str, None] = {}
    failed = 0
    for split in args.splits:
        try:
            lines = load(split)
            files_of = [_listed(file_of(line)) for line in lines]
            found = _count(lines, files_of)
            problem = _difference(found, sizes[split], noun)
            if problem and strict:
                raise AnnotationError(problem)
        except AnnotationError as error:
            print(f'{split}: NOT converted: {error}')
            failed += 1
            continue
        path = args.dst / name.format(split)
        files.update(dict.fromkeys(file for listed in files_of for file in listed))
        print(f'{split}: {found.clips:,} clips, {found.texts:,} {noun} -> {path} ({write(path, lines)})')
        if problem:
            print(f'  {problem}')
    if files:
        _report_media(args.media, list(files))
    return 1 if failed else 0


def _listed(files: str | Sequence[str]) -> Sequence[str]:
    return [files] if isinstance(files, str) else files


def _count(lines: list[dict], files_of: list[Sequence[str]]) -> Size:
    counts = [len(line['caption']) if isinstance(line.get('caption'), list) else 1 for line in lines]
    return Size(len({file for files in files_of for file in files}), sum(counts))


def _difference(found: Size, size: Size, noun: str) -> str:
    """Complaint about a size that is not the expected one, or ''."""
    if all(expected in (None, there) for expected, there in zip(size, found)):
        return ''
    return f'found {found.describe(noun)}, expected {size.describe(noun)}; is a file cut off or of another release?'


def write(path: Path, entries: list) -> str:
    """Write JSON lines, or one list if the name ends with ``.json``, atomically; unless the file already has this
    content. Returns which, 'written' or 'unchanged'.
    """
    texts = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    content = '[' + ',\n'.join(texts) + ']\n' if path.suffix == '.json' else ''.join(f'{text}\n' for text in texts)
    if path.is_file() and path.read_bytes() == content.encode():
        return 'unchanged'
    write_atomically(path, lambda part: Path(part).write_bytes(content.encode()))
    return 'written'


def _report_media(folder: Path, files: list[str]) -> None:
    if not folder.is_dir():
        print(f'media: no folder {folder} (put the files there, such as {files[0]}, or name it with --media)')
        return
    folders = {os.path.dirname(file) for file in files}
    there = {
        os.path.join(below, name)
        for below in folders
        if (folder / below).is_dir()
        for name in os.listdir(folder / below)
    }
    missing = [file for file in files if file not in there]
    print(f'media: {len(files) - len(missing):,} of {len(files):,} in {folder}')
    for file in missing[:10]:
        print(f'  missing: {file}')
    if len(missing) > 10:
        print(f'  … and {len(missing) - 10:,} more')
