"""What the commands share that ask a model about files: arguments, which model and files are meant, the output."""

import argparse
import glob
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlpeft.engine.messages import tell
from vlpeft.zoo.config_names import find_config

from .media_files import expand, media_of
from .number_formats import DTYPES

#: Where `bash tools/quickstart.sh SUBJECT` leaves its runs.
QUICKSTART = Path('work_dirs/quickstart')
#: What a checkpoint may be called in place of a file.
CHECKPOINTS = dict(zoo=None, none='base')
#: Name of the base alone in the output.
OFF = 'off'


class Asked(NamedTuple):
    """A model and what it is asked: ``config``, ``checkpoint`` as of :class:`AdaptedInferencer`, and the other words of
    the command line.
    """

    config: str
    checkpoint: str | None
    words: list[str]


def make_parser(usage: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The arguments that the commands share; ``usage`` says what the first ones are."""
    parser = argparse.ArgumentParser(
        usage=usage, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(fail=parser.error)
    parser.add_argument('words', nargs='+', metavar='WORD', help=argparse.SUPPRESS)
    parser.add_argument('--model', metavar='CONFIG', help='the config, where the first arguments do not say it')
    parser.add_argument('--checkpoint', help='with --model: its checkpoint (default: zoo)')
    parser.add_argument(
        '--adapter',
        action='append',
        default=[],
        type=_named_checkpoint,
        metavar='NAME=CHECKPOINT',
        help='answer also with this checkpoint of the same config; may be repeated',
    )
    parser.add_argument('--off', action='store_true', help='answer also with the adapters switched off')
    parser.add_argument('--scores', action='store_true', help='also say how sure the model is, from 0 to 1')
    parser.add_argument('--json', action='store_true', help='print a JSON object for each result, a line each')
    parser.add_argument('--batch-size', type=_positive, metavar='N', help="default: that of the config's test")
    parser.add_argument('--device', help='default: the GPU if there is one')
    parser.add_argument('--dtype', choices=DTYPES, help='number format of the weights (default: as the config says)')
    return parser


def find_model(args: argparse.Namespace, subject: str, run: str, least: int) -> Asked:
    """The model that a command line means.

    Args:
        args: Of :func:`make_parser`.
        subject: Of the quickstart whose model is taken where none is named.
        run: Name of its run.
        least: Words that a model is asked with, at least.

    Raises:
        SystemExit: It cannot be told, or words are missing.
        ZooError: There is no such config.
    """
    words = list(args.words)
    if args.model is not None:
        return _enough(args, Asked(args.model, CHECKPOINTS.get(args.checkpoint, args.checkpoint), words), least)
    if args.checkpoint is not None:
        args.fail('--checkpoint goes with --model')
    if _names_files(words[0]):
        return _enough(args, _of_quickstart(args, subject, run), least)
    if not _is_model(words[0]):
        find_config(words[0])
    if len(words) < 2 + least:
        args.fail(f'after the config {words[0]} come a checkpoint (or none, or zoo) and what it is asked about')
    return Asked(words[0], CHECKPOINTS.get(words[1], words[1]), words[2:])


def adapters_of(args: argparse.Namespace) -> dict[str, str]:
    """Checkpoints by name.

    Raises:
        SystemExit: A name that is given twice, or is reserved.
    """
    names = [name for name, _ in args.adapter]
    if taken := [name for name in names if names.count(name) > 1 or name in (OFF, 'default', 'base')]:
        args.fail(f'--adapter {taken[0]}=…: the name is taken; choose another')
    return dict(args.adapter)


def run(args: argparse.Namespace, inferencer: Any, named: Sequence[str], ask: Callable[..., list[Any]]) -> int:
    """Asks about files and prints what comes of it.

    Args:
        args: Of :func:`make_parser`.
        inferencer: A :class:`TextInferencer`.
        named: Files, folders and patterns.
        ask: Called with files and options of a call, gives a result for each.

    Returns:
        Exit code: 1 if a file could not be used.
    """
    files = expand(named, inferencer.media)
    acting: list[str | None] = list(inferencer.adapters) or [None]
    acting += [None] if args.off and None not in acting else []
    found = [
        (name, one)
        for name in acting
        for one in ask(files, adapter=name, scores=args.scores, batch_size=args.batch_size)
    ]
    rows = [dict(one._asdict(), adapter=name or OFF) for name, one in found]
    rows.sort(key=lambda row: files.index(row['file']))
    print_json(rows) if args.json else print_table(rows, args.scores, len(files) > 1, len(acting) > 1)
    errors = {row['file']: row['error'] for row in rows if row['error'] is not None}
    for file, reason in errors.items():
        tell(f'cannot use {file}: {reason}')
    return 1 if errors else 0


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """A line for each result."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def print_table(rows: Sequence[Mapping[str, Any]], scores: bool, many_files: bool, many_adapters: bool) -> None:
    """A table of the results, or of a single one the text alone."""
    from rich.table import Table

    from vlpeft.engine.plain_console import plain_console

    text = 'answer' if 'answer' in rows[0] else 'caption'
    columns = ['file'] * many_files + ['adapter'] * many_adapters + [text] + ['score'] * scores
    shown = [{**row, 'score': '' if row['score'] is None else f'{row["score"]:.3f}'} for row in rows]
    shown = [row for row in shown if row['error'] is None]
    if len(columns) - scores == 1:
        print('  '.join(shown[0][name] for name in columns))
        return
    table = Table(*columns)
    for column in table.columns:
        column.overflow = 'fold'
    for row in shown:
        table.add_row(*(row[name] for name in columns))
    plain_console().print(table)


def _enough(args: argparse.Namespace, asked: Asked, least: int) -> Asked:
    if len(asked.words) < least:
        args.fail('the question is missing: it comes last, in quotes')
    return asked


def _names_files(word: str) -> bool:
    """Whether a word means files by its suffix, as a pattern or as a folder, and so is no config."""
    return media_of(word) is not None or glob.has_magic(word) or (Path(word).is_dir() and not _is_model(word))


def _is_model(word: str) -> bool:
    """Whether a word is the folder of a model of transformers, of an adapter, or one that ``vlpeft publish`` wrote."""
    from .hub_folder import is_hub_folder

    return is_hub_folder(word) or any(Path(word, name).is_file() for name in ('config.json', 'adapter_config.json'))


def _of_quickstart(args: argparse.Namespace, subject: str, run: str) -> Asked:
    last = QUICKSTART / run / 'last_checkpoint'
    if not last.is_file():
        args.fail(
            f'which model? Name its config and checkpoint first, or give --model and --checkpoint (vlpeft list shows '
            f'models); without them the one of bash tools/quickstart.sh {subject} is taken, and there is no {last}'
        )
    checkpoint = last.parent / Path(last.read_text().strip()).name
    print(f'model: quickstart_{run}, {checkpoint}', file=sys.stderr)
    return Asked(f'quickstart_{run}', str(checkpoint), list(args.words))


def _named_checkpoint(text: str) -> tuple[str, str]:
    name, sign, path = text.partition('=')
    if not (name.strip() and sign and path):
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=CHECKPOINT')
    return name, path


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of samples, at least 1')
    return int(text)
