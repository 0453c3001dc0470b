"""Counts a config's parameters by role and tower, without weights, tokenizer or memory (on the meta device)."""

import argparse
import json

import torch
from mmengine.config import DictAction
from mmengine.registry import init_default_scope


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, such as configs/uniadapter/blip_msrvtt.py')
    parser.add_argument('--json', action='store_true', help='print one JSON object instead of a table')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override config entries, such as model.adapter.bottleneck=512',
    )
    return parser.parse_args()


def count(config: str, options: dict) -> dict:
    """Counts of :func:`vlpeft.models.count_parameters` for a config file."""
    from vlpeft.engine.config_file import read_config
    from vlpeft.models import count_parameters
    from vlpeft.registry import MODELS

    cfg = read_config(config)
    cfg.merge_from_dict(options)
    cfg.model.base_checkpoint = None
    init_default_scope('vlpeft')
    with torch.device('meta'):
        return count_parameters(MODELS.build(cfg.model))


def show(counts: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table('role', 'total', 'trainable', title='parameters')
    for role, total in counts['by_role'].items():
        table.add_row(role, f'{total:,}', f'{counts["trainable_by_role"].get(role, 0):,}')
    table.add_section()
    table.add_row('all', f'{counts["total"]:,}', f'{counts["trainable"]:,} ({counts["percent"]:.2f} %)')
    towers = ', '.join(f'{tower} {total:,}' for tower, total in counts['by_tower'].items())
    console = Console()
    console.print(table)
    console.print(f'by tower: {towers}\nadapter checkpoint: {counts["adapter_bytes"] / 2**20:.1f} MiB')


def main() -> None:
    args = parse_args()
    counts = count(args.config, args.cfg_options)
    if args.json:
        print(json.dumps(counts))
    else:
        show(counts)


if __name__ == '__main__':
    main()
