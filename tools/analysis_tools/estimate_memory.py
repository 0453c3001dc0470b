"""Estimates the device memory of a training run from its config, without weights, tokenizer, GPU or much memory."""

import argparse
import json

from mmengine.config import DictAction
from mmengine.registry import init_default_scope

EPILOG = """Formulas and what they leave out: vlpeft/engine/memory.py.

examples:
  python tools/analysis_tools/estimate_memory.py configs/epalm/epalm_opt-2.7b_vit-b_vqav2.py
  python tools/analysis_tools/estimate_memory.py configs/epalm/epalm-ptl_opt-6.7b_vit-l_vqav2_fsdp.py --gpus 8"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--gpus', type=int, default=1, help='devices, one process each (default: 1)')
    parser.add_argument(
        '--tokens',
        type=int,
        default=64,
        help='tokens per sample through each tower that passes '
        'gradients on; for a language model prompt, slot and text (default: 64)',
    )
    parser.add_argument('--amp', action='store_true', help='as train.py --amp')
    parser.add_argument('--json', action='store_true', help='print bytes per device as one JSON object')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override config entries, such as train_dataloader.batch_size=8 model.lm_dtype=bfloat16',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vlpeft.engine.config_file import read_config
    from vlpeft.engine.memory import RunLayout, build_on_meta, estimate, table

    cfg = read_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    if args.amp:
        cfg.optim_wrapper.type = 'MixedPrecisionOptimWrapper'
    init_default_scope('vlpeft')
    model, layout = build_on_meta(cfg), RunLayout.of(cfg, args.gpus)
    rows = estimate(model, layout, args.tokens)
    print(json.dumps(rows) if args.json else table(rows, model, layout, args.tokens))


if __name__ == '__main__':
    main()
