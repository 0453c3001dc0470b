"""Estimates the device memory of a training run from its config, without weights, tokenizer, GPU or much memory."""

import argparse
import json
import sys

from mmengine.registry import init_default_scope

from vlpeft.engine.arguments import add_config_arguments
from vlpeft.engine.messages import run_main

EPILOG = """Formulas and what they leave out: vlpeft/engine/memory.py.

examples:
  %(prog)s epalm/epalm_opt-2.7b_vit-b_vqav2
  %(prog)s epalm/epalm-ptl_opt-6.7b_vit-l_vqav2_fsdp --gpus 8"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('--gpus', type=int, default=1, help='devices, one process each (default: 1)')
    parser.add_argument(
        '--tokens',
        type=int,
        default=64,
        help='tokens per sample through each tower that passes '
        'gradients on; for a language model prompt, slot and text (default: 64)',
    )
    parser.add_argument(
        '--answer-tokens',
        type=int,
        help='those of them of which logits are made: of image-text-to-text models the answers (default: all)',
    )
    parser.add_argument('--amp', action='store_true', help='as train.py --amp')
    parser.add_argument('--json', action='store_true', help='print bytes per device as one JSON object')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from vlpeft.engine.launch import check_settings, load_config
    from vlpeft.engine.memory import RunLayout, build_on_meta, estimate, table

    cfg = load_config(args.config, args.cfg_options)
    check_settings(cfg, 'model', 'optim_wrapper', 'train_dataloader')
    if args.amp:
        cfg.optim_wrapper.type = 'MixedPrecisionOptimWrapper'
    init_default_scope('vlpeft')
    model, layout = build_on_meta(cfg), RunLayout.of(cfg, args.gpus)
    rows = estimate(model, layout, args.tokens, args.answer_tokens)
    print(json.dumps(rows) if args.json else table(rows, model, layout, args.tokens, args.answer_tokens))


if __name__ == '__main__':
    sys.exit(run_main(main))
