"""Scores answers or captions of any code with vlpeft's metrics, with 95 % intervals.

PRED is a list of objects with an id and a text, as benchmark servers take them, or a result of tools/test.py --out.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.table import Table

import vlpeft  # noqa: F401  fills the registries
from vlpeft.engine.arguments import Overrides
from vlpeft.engine.messages import run_main
from vlpeft.engine.plain_console import plain_console
from vlpeft.registry import METRICS, SCOPE

KINDS = ('VQAMetric', 'OpenEndedMetric', 'ANLSMetric', 'ChoiceMetric', 'LabelScoreMetric', 'CaptionMetric')
EPILOG = """examples:
  %(prog)s answers.json --metric VQAMetric --ann v2_mscoco_val2014_annotations.json
  %(prog)s captions.json --metric CaptionMetric --ann captions_val2014.json --json scores.json
  %(prog)s predictions.jsonl --metric ANLSMetric --ann test.jsonl --options threshold=0.5"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('pred', type=Path, metavar='PRED', help='answers or captions: .json or .jsonl')
    parser.add_argument('--metric', required=True, choices=KINDS, help='how they are scored (docs/evaluation.md)')
    parser.add_argument(
        '--ann',
        required=True,
        type=Path,
        help='what is right, by the same ids: lines or a list of objects, or annotations of VQA v2 or COCO captions',
    )
    parser.add_argument(
        '--options', nargs='+', action=Overrides, default={}, metavar='KEY=VALUE', help='arguments of the metric'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write figures, intervals and scores of samples')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read, score, print."""
    args = parse_args(argv)
    from mmengine.registry import DefaultScope

    from vlpeft.engine.preflight.types import type_problems
    from vlpeft.evaluation.foreign import REFERENCES, read_answers, read_truths, samples_of
    from vlpeft.evaluation.result import add_intervals, result_of, write_result

    cfg = dict(type=args.metric, **args.options)
    with DefaultScope.overwrite_default_scope(SCOPE):
        for key, problem in type_problems(dict(test_evaluator=cfg)):
            raise SystemExit(f'--options {key.removeprefix("test_evaluator.")}: {problem}')
        metric = METRICS.build(cfg)
    field = getattr(metric, 'truth_field', REFERENCES)
    answers, truths = read_answers(args.pred), read_truths(args.ann, field)
    samples = list(samples_of(answers, truths, (args.pred, args.ann), field))
    metric.process(None, samples)
    figures = metric.evaluate(len(samples))
    result = result_of(args.metric, str(args.pred.name), figures, [metric], dict(annotations=args.ann.name))
    add_intervals(result, [metric])
    table = Table('figure', title=f'{len(samples):,} samples', title_justify='left')
    table.add_column('value', justify='right')
    table.add_column('95 % interval', justify='right')
    for name, value in figures.items():
        ends = result['intervals'].get(name)
        shown = f'{value:.2f}' if isinstance(value, float) else str(value)
        table.add_row(
            name, shown, result['no_intervals'].get(name, '') if ends is None else f'{ends[0]:.2f} to {ends[1]:.2f}'
        )
    plain_console(120).print(table)
    if args.json:
        write_result(args.json, json.loads(json.dumps(result)))
        print(f'wrote {args.json}')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
