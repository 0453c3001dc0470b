"""Shows how large what a trained method adds is, by tower, part and depth, and the values of its gates.

Heat maps (PNG) and a table. From the weights: for methods that can be merged (LoRA and its kin, IA3, SSF, biases,
norms) the change of each weight, absolute and relative to the weight of the base; of bottlenecks the product of both
maps; gates that depend on no input after their activation; the length of learned rows. With --data, for every method:
how large its change is beside what it changes, and the values of all gates.
"""

import argparse
import json
import sys
from pathlib import Path

from vlpeft.engine.arguments import Overrides, existing_checkpoint, existing_config, names_adapter_folder
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s quickstart/lora work_dirs/quickstart/lora/epoch_3.pth
  %(prog)s quickstart/uniadapter work_dirs/quickstart/uniadapter/epoch_3.pth --data 4 --out uniadapter.png
  %(prog)s epalm/epalm_opt-2.7b_vit-b_vqav2 epalm.pth --no-base --json
  %(prog)s path/or/hub-name adapter_folder/"""
ENDINGS = ('.png', '.pdf', '.svg')
#: Settings of a loader that are about its workers; a few batches need none.
OF_WORKERS = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='config (a file, or a name of the zoo); or a model: its folder or hub name')
    parser.add_argument('trained', help='checkpoint of a run of the config; or, of a model, an adapter folder')
    parser.add_argument(
        '--out', default='adapters.png', metavar='FILE', help='.png, .pdf or .svg (default: adapters.png)'
    )
    parser.add_argument(
        '--no-base', action='store_true', help='do not load the base: no memory for it, and nothing relative to it'
    )
    parser.add_argument(
        '--data', type=int, default=0, metavar='N', help='also run N batches of the training data (default: 0, none)'
    )
    parser.add_argument('--device', default='cpu', help='where batches are run (default: cpu)')
    parser.add_argument('--json', action='store_true', help='print one JSON object with every number')
    parser.add_argument(
        '--cfg-options', nargs='+', action=Overrides, default={}, help='override settings of the config, key=value'
    )
    args = parser.parse_args(argv)
    try:
        args.is_model = names_adapter_folder(args.trained)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if args.is_model and (args.cfg_options or args.no_base or args.data):
        parser.error('--cfg-options, --no-base and --data are for a config; a model and an adapter folder are given')
    if args.data < 0:
        parser.error(f'--data must be at least 0, got {args.data}')
    if args.data and args.no_base:
        parser.error('--data runs the model, which --no-base leaves without weights')
    if Path(args.out).suffix.lower() not in ENDINGS:
        parser.error(f'--out {args.out}: the name must end with one of {", ".join(ENDINGS)}')
    if not args.is_model:
        try:
            args.source, args.trained = existing_config(args.source), existing_checkpoint(args.trained)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    return args


def measured(args: argparse.Namespace, model) -> tuple[list, list[str]]:
    """What data shows, and what is to be said of it."""
    import torch
    from mmengine.runner import Runner

    from vlpeft.analysis.adapter_measure import measure
    from vlpeft.engine.launch import check_settings, load_config

    cfg = load_config(args.source, args.cfg_options)
    check_settings(cfg, 'train_dataloader')
    settings = {key: value for key, value in cfg.train_dataloader.items() if key not in OF_WORKERS}
    loader = Runner.build_dataloader(dict(settings, num_workers=0, persistent_workers=False), seed=0)
    torch.manual_seed(0)
    sizes = measure(model.to(args.device), iter(loader), args.data)
    fewer = len(loader) < args.data
    return sizes, [f'the training data has {len(loader)} batches, fewer than --data {args.data}'] if fewer else []


def show(found: list[dict], quantities: dict[str, str], notes: list[str]) -> None:
    """A line for each quantity and part: mean over the depths, least and largest, and where that is."""
    from rich.table import Table

    from vlpeft.engine.plain_console import plain_console

    table = Table()
    table.add_column('quantity, place', overflow='fold')
    for head in ('mean', 'least', 'largest', 'at depth'):
        table.add_column(head, justify='right', no_wrap=True)
    for quantity, rows in panels(found).items():
        table.add_row(quantities[quantity], style='bold')
        for name, by_depth in rows.items():
            values = list(by_depth.values())
            at = max(by_depth, key=by_depth.get)
            table.add_row(
                f'  {name}',
                *(f'{value:.4g}' for value in (sum(values) / len(values), min(values), max(values))),
                'outside' if at is None else str(at),
            )
        table.add_section()
    plain_console().print(table)
    for note in notes:
        print(f'note: {note}')


def panels(found: list[dict]) -> dict[str, dict[str, dict[int | None, float]]]:
    """Numbers by quantity, place and depth; places of several methods bear their names."""
    several = len({size['method'] for size in found}) > 1
    grouped: dict = {}
    for size in found:
        name = ' '.join(filter(None, (size['method'] * several, size['tower'], size['part'])))
        grouped.setdefault(size['quantity'], {}).setdefault(name, {})[size['depth']] = size['value']
    return grouped


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from mmengine.registry import init_default_scope

    from vlpeft.analysis.adapter_sizes import QUANTITIES, adapter_sizes
    from vlpeft.analysis.adapter_sources import of_folder, of_run
    from vlpeft.apis.device import usable_device
    from vlpeft.engine.console import quiet_console
    from vlpeft.visualization.depth_maps import draw_depth_maps

    init_default_scope('vlpeft')
    usable_device(args.device)
    with quiet_console():
        if args.is_model:
            trained = of_folder(args.source, args.trained)
        else:
            options = {
                key.removeprefix('model.'): value for key, value in args.cfg_options.items() if key.startswith('model.')
            }
            trained = of_run(args.source, args.trained, options, not args.no_base)
    if trained.adapter is None:
        raise SystemExit(f'{args.source}: has no method (model.adapter); there is nothing to show')
    sizes, notes = adapter_sizes(trained.adapter, trained.towers, trained.has_base)
    if args.data:
        of_data, said = measured(args, trained.model)
        sizes, notes = sizes + of_data, notes + said
    found = [size.as_json() for size in sizes]
    if not found:
        raise SystemExit('; '.join(notes))
    title = f'{Path(args.trained).name} of {Path(args.source).stem}'
    named = {QUANTITIES[quantity]: rows for quantity, rows in panels(found).items()}
    draw_depth_maps(args.out, named, title)
    if args.json:
        print(json.dumps(dict(picture=args.out, sizes=found, notes=notes, quantities=QUANTITIES)))
        return 0
    show(found, QUANTITIES, notes)
    print(f'picture: {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
