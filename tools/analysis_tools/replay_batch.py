"""Computes a batch that training stopped at once more, and says where the first number appears that is not finite."""

import argparse
import sys
from pathlib import Path

import torch

from vlpeft.engine.arguments import add_config_arguments, existing_checkpoint
from vlpeft.engine.launch import load_config
from vlpeft.engine.messages import run_main

EPILOG = """The batch and the weights are in the folder bad_steps of the work folder. Precision, loss scale and random
numbers are those of the run; a batch of several processes is computed alone, without those of the others.

exit code: 0 all numbers are finite; 1 one is not, and the last line says where; 2 wrong arguments

example:
  python tools/analysis_tools/replay_batch.py configs/uniadapter/blip_msrvtt.py \\
      work_dirs/uniadapter/blip_msrvtt/bad_steps/iter_37.pth \\
      work_dirs/uniadapter/blip_msrvtt/bad_steps/iter_37_batch_rank0.pth"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', type=existing_checkpoint, help='weights: bad_steps/iter_N.pth, or any checkpoint')
    parser.add_argument('batch', type=Path, help='bad_steps/iter_N_batch_rankR.pth')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='where to compute (default: cuda if there is one, else cpu)',
    )
    args = parser.parse_args(argv)
    if not args.batch.is_file():
        parser.error(f'batch {args.batch} does not exist')
    return args


def main(argv: list[str] | None = None) -> int:
    """Replays; returns the exit code."""
    args = parse_args(argv)
    from vlpeft.apis.build import build_model
    from vlpeft.checkpoint.download import fetch
    from vlpeft.engine.bad_batch import BadBatch
    from vlpeft.engine.replay import first_nonfinite

    batch = BadBatch.read(args.batch)
    model = build_model(load_config(args.config, args.cfg_options), fetch(args.checkpoint), True, args.device)
    print(f'iteration {batch.iteration}, process {batch.rank} of {batch.world_size}: {batch.reason}')
    print('samples: ' + '; '.join(batch.samples))
    found = first_nonfinite(model, batch)
    print(
        f'first number that is not finite {found}'
        if found
        else 'all numbers are finite, losses and gradients too: the cause is not in this batch with these weights'
    )
    return int(found is not None)


if __name__ == '__main__':
    sys.exit(run_main(main))
