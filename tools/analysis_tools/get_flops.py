"""Counts floating-point operations of a config: inference by tower and part, and the training step, for one sample.

It runs on shapes alone, without weights, data, vocabulary, GPU or much memory. Inference is counted with the method
and without it; re-ranking and the steps of generation stand apart from what runs once for a sample. A multiplication
and an addition are two operations: MACs are half of them.
"""

import argparse
import json
import sys

from mmengine.registry import init_default_scope

from vlpeft.engine.arguments import add_config_arguments, add_size_arguments, wanted_sizes
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s uniadapter/blip_msrvtt
  %(prog)s vl_pet/vlpet-large_bart-base_image --task caption --answer-tokens 12
  %(prog)s vlm/lora_qwen2.5-vl-3b_vqav2 --picture-tokens 1024 --text-tokens 60 --json"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add_size_arguments(parser)
    parser.add_argument('--json', action='store_true', help='print FLOPs as one JSON object instead of tables')
    return parser.parse_args(argv)


def giga(flops: float | None) -> str:
    """Billions, four digits; small numbers are not rounded to nothing."""
    return '–' if flops is None else f'{flops / 1e9:,.4g}' if flops < 1e13 else f'{flops / 1e9:,.0f}'


def show(found: dict) -> None:
    """Tables of inference and training."""
    from rich.table import Table

    from vlpeft.engine.plain_console import plain_console

    console = plain_console()
    has_method = found['inference'][0]['base_flops'] is not None
    table = Table(title=f'inference, GFLOPs: {found["model"]}')
    table.add_column('pass, tower / part', overflow='fold')
    for head in ('base', 'with method', 'added') if has_method else ('GFLOPs',):
        table.add_column(head, justify='right', no_wrap=True)
    for row in found['inference']:
        table.add_row(f'{row["name"]}: {row["of"]}', *_cells(row['base_flops'], row['flops']), style='bold')
        base = row['base_parts'] or {}
        for part in dict.fromkeys([*base, *row['parts']]):
            table.add_row(f'  {part}', *_cells(base.get(part, 0) if has_method else None, row['parts'].get(part, 0)))
        table.add_section()
    console.print(table)
    batch = found['sizes']['batch']
    table = Table(title=f'training step, GFLOPs for each of {batch} sample{"s" * (batch > 1)}')
    table.add_column('what trains', overflow='fold')
    for head in ('forward', 'backward', 'both'):
        table.add_column(head, justify='right', no_wrap=True)
    for name, row in (('this config', found['training']), ('all weights, no method', found['training_all'])):
        if row is not None:
            table.add_row(name, *(giga(row[key]) for key in ('forward', 'backward', 'flops')))
    console.print(table)
    if found['recomputed']:
        print(
            f'The backward pass computes the blocks of {", ".join(found["recomputed"])} again (gradient checkpointing).'
        )
    print(f'MACs are half of the FLOPs. Not counted: {found["not_counted"]}.')


def _cells(base: float | None, flops: float) -> list[str]:
    return [giga(flops)] if base is None else [giga(base), giga(flops), giga(flops - base) if flops != base else '']


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from vlpeft.analysis.flops import count
    from vlpeft.engine.launch import check_settings, load_config

    cfg = load_config(args.config, args.cfg_options)
    check_settings(cfg, 'model')
    init_default_scope('vlpeft')
    found = count(cfg, **wanted_sizes(args))
    if args.json:
        print(json.dumps(found))
    else:
        show(found)
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
