"""Estimates the device memory of a training run from its config, without weights, tokenizer, GPU or much memory.

A training step of the model's own code is taken on shapes alone, and what its tensors would hold is counted.
"""

import argparse
import json
import sys

from mmengine.registry import init_default_scope

from vlpeft.engine.arguments import Positive, add_config_arguments, add_size_arguments, wanted_sizes
from vlpeft.engine.messages import run_main

EPILOG = """What is counted and what is left out: vlpeft/engine/memory.py.

examples:
  %(prog)s uniadapter/blip_msrvtt
  %(prog)s epalm/epalm-ptl_opt-6.7b_vit-l_vqav2_fsdp --gpus 8 --text-tokens 54
  %(prog)s baselines/blip_vqav2_bitfit --batch-size 2 --measure"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('--gpus', type=int, action=Positive, default=1, help='devices, one process each (default: 1)')
    add_size_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='as train.py --amp')
    parser.add_argument(
        '--device',
        choices=['cuda', 'cpu'],
        default='cuda',
        help='kind of device: on CPUs attention with dropout keeps its maps (default: cuda)',
    )
    parser.add_argument(
        '--measure',
        action='store_true',
        help='also take two steps on the CPU, with random weights and inputs, in a process whose resident memory is '
        'measured (Linux); implies --device cpu, and takes the memory that the estimate says',
    )
    parser.add_argument('--json', action='store_true', help='print bytes per device as one JSON object')
    args = parser.parse_args(argv)
    if args.measure and args.gpus > 1:
        parser.error(f'--measure takes steps in one process, so it cannot measure --gpus {args.gpus}')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from vlpeft.analysis.resident_memory import measure
    from vlpeft.engine.launch import check_settings, load_config
    from vlpeft.engine.memory import GIB, RunLayout, build_for, estimate, sizes_for, table

    cfg = load_config(args.config, args.cfg_options)
    check_settings(cfg, 'model', 'optim_wrapper', 'train_dataloader')
    if args.amp:
        cfg.optim_wrapper.type = 'MixedPrecisionOptimWrapper'
    init_default_scope('vlpeft')
    layout = RunLayout.of(cfg, args.gpus)
    model = build_for(cfg, layout)
    sizes = sizes_for(cfg, model, **wanted_sizes(args))
    rows = estimate(model, layout, cfg.optim_wrapper, sizes, args.measure or args.device == 'cpu')
    found = measure(cfg, vars(sizes))['training'] if args.measure else None
    if args.json:
        print(json.dumps(rows if found is None else dict(rows, measured=found)))
        return
    print(table(rows, model, layout, sizes))
    if found is not None:
        off = sum(rows.values()) / found - 1
        print(f'{"measured":<18}{found / GIB:>9.3f} GiB of resident memory; the estimate is off by {off:+.1%}')


if __name__ == '__main__':
    sys.exit(run_main(main))
