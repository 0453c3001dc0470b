"""List the models of the zoo: method, task, training data and the share of the parameters that is trained."""

import argparse
import json
import sys

from vlpeft.engine.messages import run_main
from vlpeft.zoo.folder import zoo_root
from vlpeft.zoo.model_index import ZooModel, read_zoo

COLUMNS = ('name', 'method', 'task', 'data', 'trained')
EPILOG = """examples:
  %(prog)s msrvtt                  # "msrvtt" in any column
  %(prog)s vl-pet captioning       # both
  %(prog)s --json lora"""


def describe(model: ZooModel) -> dict[str, object]:
    """Columns and config path of a model."""
    share = 100 * model.metadata['Trainable Parameters'] / model.metadata['Parameters']
    return dict(
        name=model.name,
        method=model.method,
        task=model.task,
        data=model.data,
        trained=f'{share:.2f} %',
        config=model.config.relative_to(zoo_root() / 'configs').as_posix(),
    )


def matches(row: dict[str, object], words: list[str]) -> bool:
    """Whether each word is in a column or in the config's path, whatever its case."""
    texts = [str(value).lower() for value in row.values()]
    return all(any(word.lower() in text for text in texts) for word in words)


def main(argv: list[str] | None = None) -> int:
    """Print the table or the JSON list; returns 1 if no model fits."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('words', nargs='*', metavar='WORD', help='only models with all these words in their line')
    parser.add_argument('--json', action='store_true', help='print a list of objects, with the path of the config')
    args = parser.parse_args(argv)
    rows = [row for row in map(describe, read_zoo().values()) if matches(row, args.words)]
    if args.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        table = [COLUMNS, *([str(row[column]) for column in COLUMNS] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table)]
        for line in table:
            print('  '.join(f'{text:{width}}' for text, width in zip(line, widths)).rstrip())
    if not rows:
        print(f'no model of the zoo has {" and ".join(args.words)} in its line', file=sys.stderr)
    return int(not rows)


if __name__ == '__main__':
    sys.exit(run_main(main))
