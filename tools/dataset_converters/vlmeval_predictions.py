"""Write predictions as VLMEvalKit's scorers read them: the benchmark's table with a column 'prediction'."""

import argparse
import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path

from vlpeft.atomic import write_atomically
from vlpeft.datasets.annotations import AnnotationError, read_jsonl
from vlpeft.datasets.records import field
from vlpeft.datasets.vlmeval_rows import read_rows
from vlpeft.engine.messages import run_main

EPILOG = """example:
  vlpeft test CONFIG CHECKPOINT --out answers.jsonl
  %(prog)s data/mmbench/MMBench_DEV_EN.tsv answers.jsonl Mine_MMBench_DEV_EN.tsv

OUT.tsv has the columns of TABLE without the pictures, and the prediction of each row; empty where the file could not be
read. VLMEvalKit reads tables by their ending: ImageMCQDataset('MMBench_DEV_EN').evaluate('Mine_MMBench_DEV_EN.tsv')."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('table', metavar='TABLE.tsv', help='the benchmark, as VLMEvalTSV reads it')
    parser.add_argument('predictions', metavar='PREDICTIONS.jsonl', help='from --out or PredictionsHook')
    parser.add_argument('out', metavar='OUT.tsv', help='file to write; its folder is made')
    args = parser.parse_args(argv)
    if not args.out.endswith('.tsv'):
        parser.error(f'{args.out} must end with .tsv')
    rows = [{column: text for column, text in row.items() if column != 'image'} for _, row in read_rows(args.table)]
    answers = read_answers(args.predictions)
    indices = {row['index'] for row in rows}
    missing = [row['index'] for row in rows if row['index'] not in answers]
    foreign = [index for index in answers if index not in indices]
    if missing or foreign:
        where, listed = ('predictions', missing) if missing else ('table', foreign)
        raise AnnotationError(
            f'{getattr(args, where)}: {len(listed):,} indices are not in this file, such as {", ".join(listed[:3])}'
        )
    content = table(rows, answers)
    write_atomically(args.out, lambda part: Path(part).write_text(content, encoding='utf-8', newline=''))
    print(f'{len(rows):,} predictions -> {args.out}')
    return 0


def read_answers(path: str) -> dict[str, str]:
    """Prediction by index, of a file of JSON lines.

    Raises:
        AnnotationError: A line lacks ``question_id`` or ``prediction``, or two of one question differ.
    """
    answers: dict[str, str] = {}
    for where, row in read_jsonl(path):
        index, answer = str(field(where, row, 'question_id', int, str)), row.get('prediction')
        if not isinstance(answer, str):
            raise AnnotationError(f"{where}: 'prediction' must be a text; keys found: {', '.join(row)}")
        answer = '' if 'unreadable' in row else answer
        if answers.setdefault(index, answer) != answer:
            raise AnnotationError(f'{where}: another prediction of question {index} than before')
    return answers


def table(rows: list[dict[str, str]], answers: Mapping[str, str]) -> str:
    """Text of the table."""
    columns = dict.fromkeys(column for row in rows for column in row if column != 'prediction')
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, 'prediction'], delimiter='\t', lineterminator='\n', restval='')
    writer.writeheader()
    writer.writerows(dict(row, prediction=answers[row['index']]) for row in rows)
    return text.getvalue()


if __name__ == '__main__':
    sys.exit(run_main(main))
