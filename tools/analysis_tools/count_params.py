"""Counts a config's parameters by role and tower, without weights, tokenizer or memory (on the meta device)."""

import argparse
import json
import sys

from mmengine.registry import init_default_scope

from vlpeft.engine.arguments import add_config_arguments
from vlpeft.engine.messages import run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument('--json', action='store_true', help='print one JSON object instead of a table')
    return parser.parse_args(argv)


def count(config: str, options: dict | None = None) -> dict:
    """Counts of :func:`vlpeft.models.count_parameters` for a config file."""
    from vlpeft.engine.launch import check_settings, load_config

    cfg = load_config(config, options)
    check_settings(cfg, 'model')
    return count_model(cfg.model)


def count_model(model: dict) -> dict:
    """The same for the ``model`` of a config."""
    import torch

    from vlpeft.models import count_parameters
    from vlpeft.registry import MODELS

    init_default_scope('vlpeft')
    with torch.device('meta'):
        return count_parameters(MODELS.build(dict(model, base_checkpoint=None)))


def show(counts: dict) -> None:
    from rich.table import Table

    from vlpeft.engine.plain_console import plain_console

    table = Table('role', 'total', 'trainable', title='parameters')
    for role, total in counts['by_role'].items():
        table.add_row(role, f'{total:,}', f'{counts["trainable_by_role"].get(role, 0):,}')
    table.add_section()
    table.add_row('all', f'{counts["total"]:,}', f'{counts["trainable"]:,} ({counts["percent"]:.2f} %)')
    towers = ', '.join(f'{tower} {total:,}' for tower, total in counts['by_tower'].items())
    console = plain_console()
    console.print(table)
    console.print(f'by tower: {towers}\nadapter checkpoint: {counts["adapter_bytes"] / 2**20:.1f} MiB')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    counts = count(args.config, args.cfg_options)
    if args.json:
        print(json.dumps(counts))
    else:
        show(counts)


if __name__ == '__main__':
    sys.exit(run_main(main))
