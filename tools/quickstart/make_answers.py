"""Compares runs that write captions or answers: one table, and a page (HTML) of pictures, truths and what was written.

RUNS is a JSON list of {"name", "metrics_file", "config", "seconds"}: the result of tools/test.py --out, the config and
how long the run trained. All runs are of one test set. OUT gets answers.html, answers.md and answers.json.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import vlpeft  # noqa: F401  fills the registries
from vlpeft.apis.build import empty_model
from vlpeft.engine.config_file import read_config
from vlpeft.engine.messages import run_main
from vlpeft.models.parameters import count_parameters
from vlpeft.registry import DATASETS
from vlpeft.visualization import AnswerCard, Asked, write_answers
from vlpeft.visualization.choose import evenly

#: Of a picture that many questions are shown, at even distances.
QUESTIONS = 4


def read_samples(config: str) -> dict:
    """The test set of a config by id: samples with ``path``, and ``references`` or ``question`` and ``gold``."""
    dataset = DATASETS.build(dict(read_config(config).test_dataloader.dataset, pipeline=[]))
    samples = [dataset.get_data_info(number) for number in range(len(dataset))]
    return {sample.get('sample_id', sample.get('question_id')): sample for sample in samples}


def truths_of(sample: dict) -> list[str]:
    """All right texts of a sample."""
    return sample['references'] if 'references' in sample else sample['gold']


def read_texts(run: dict, samples: dict) -> dict:
    """What a run wrote, by the ids of the samples.

    Raises:
        ValueError: The result is of another set.
    """
    (predictions,) = json.loads(Path(run['metrics_file']).read_text())['predictions'].values()
    texts = {p.get('sample_id', p.get('question_id')): p.get('caption', p.get('answer')) for p in predictions}
    if texts.keys() != samples.keys():
        other = next(iter(texts.keys() ^ samples.keys()))
        raise ValueError(
            f'{run["metrics_file"]} is not of the test set of the first config: {other!r} is in one of them only'
        )
    return texts


def read_row(run: dict, texts: dict, samples: dict) -> dict[str, str]:
    """One row of the table, by its headings."""
    metrics = json.loads(Path(run['metrics_file']).read_text())['metrics']
    counts = count_parameters(empty_model(run['config']))
    right = np.mean([texts[key] in truths_of(sample) for key, sample in samples.items()])
    scores = {name: metrics[f'caption/{name}'] for name in ('CIDEr', 'BLEU-4') if f'caption/{name}' in metrics}
    return {
        'run': run['name'],
        'wholly right %' if scores else 'exact match %': f'{100 * right:.1f}',
        **{name: f'{score:.1f}' for name, score in scores.items()},
        'trainable': f'{counts["trainable"]:,}',
        'trainable %': f'{counts["percent"]:.1f}',
        'seconds': f'{run["seconds"]:.0f}',
    }


def make_cards(samples: dict, texts: dict[str, dict], pictures: int) -> list[AnswerCard]:
    """Cards of pictures at even distances; ``texts`` are what was written, by run and sample."""
    by_picture: dict[str, list] = {}
    for key, sample in samples.items():
        by_picture.setdefault(sample['path'], []).append(key)
    cards = []
    for path in evenly(list(by_picture), pictures):
        asked = [
            Asked(
                truths_of(samples[key]),
                {run: found[key] for run, found in texts.items()},
                samples[key].get('question', ''),
            )
            for key in evenly(by_picture[path], QUESTIONS)
        ]
        cards.append(AnswerCard(path, asked))
    return cards


def load_picture(path: str) -> np.ndarray:
    """A picture as uint8 RGB (H, W, 3)."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB'))


def to_markdown(rows: list[dict]) -> str:
    """The table in Markdown, numbers to the right."""
    lines = [list(rows[0]), ['---'] + ['---:'] * (len(rows[0]) - 1)] + [list(row.values()) for row in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def print_table(title: str, rows: list[dict]) -> None:
    """Print the table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from vlpeft.engine.plain_console import plain_console

    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify='right' if i else 'left', no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    # A log file has no width.
    plain_console(120).print(table)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=Path, help='JSON list of runs')
    parser.add_argument('out', type=Path, help='folder for answers.html, answers.md and answers.json')
    parser.add_argument('--title', default='What the models write', help='heading of table and page')
    parser.add_argument('--pictures', type=int, default=24, help='pictures on the page, default 24')
    args = parser.parse_args(argv)
    runs = json.loads(args.runs.read_text())
    samples = read_samples(runs[0]['config'])
    texts = {run['name']: read_texts(run, samples) for run in runs}
    rows = [read_row(run, texts[run['name']], samples) for run in runs]
    cards = make_cards(samples, texts, args.pictures)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'answers.md').write_text(to_markdown(rows))
    (args.out / 'answers.json').write_text(json.dumps(rows, indent=1) + '\n')
    note = (
        f'{len(samples)} test samples of {len({sample["path"] for sample in samples.values()})} pictures; the '
        f'{len(cards)} pictures are taken at even distances. Right is what equals the truth word for word; other words '
        'are marked.'
    )
    write_answers(str(args.out / 'answers.html'), args.title, cards, load_picture, rows, note)
    print_table(args.title, rows)


if __name__ == '__main__':
    sys.exit(run_main(main))
