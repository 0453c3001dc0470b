"""Times saving and loading of what was trained against the whole model, and counts their bytes.

The model has random weights. What is saved of it is what a training run saves: trained weights and, where the method
needs them, momentum copies and queues; the base stays behind by its name. Beside it stands ``torch.save`` of the whole
state dict. Files go through the operating system's cache. Tensors that come back are compared.
"""

import argparse
import json
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from vlpeft.benchmarks.interleave import interleaved
from vlpeft.engine.arguments import Positive, existing_config
from vlpeft.engine.messages import run_main

CONFIGS = ['uniadapter/blip_msrvtt', 'vl_pet/vlpet-large_bart-base_vqa', 'lora/blip_msrvtt']
MIB = 2**20


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--configs', nargs='+', default=CONFIGS, help=f'default: {" ".join(CONFIGS)}')
    parser.add_argument('--rounds', type=int, action=Positive, default=3, help='timed rounds (default: 3)')
    parser.add_argument('--tmp', help="parent of the temporary folder (default: the system's)")
    parser.add_argument('--json', action='store_true', help='print one JSON object per config')
    return parser.parse_args(argv)


def measure(config: str, args: argparse.Namespace) -> dict:
    """One config."""
    from vlpeft.analysis.flops import build
    from vlpeft.checkpoint.checkpoint import Checkpoint
    from vlpeft.checkpoint.files import write_checkpoint
    from vlpeft.engine.hooks.adapter_checkpoint import kept_state
    from vlpeft.engine.launch import load_config

    torch.manual_seed(0)
    model = build(load_config(existing_config(config)).model, device='cpu')
    model.base_keys = frozenset(model.state_dict())  # as if a base had given all that it can
    with tempfile.TemporaryDirectory(dir=args.tmp, prefix='benchmark_checkpoints_') as folder:
        trained, whole = Path(folder, 'trained.pth'), Path(folder, 'whole.pth')
        state = kept_state(model, model.state_dict())

        def save_trained() -> None:
            write_checkpoint(dict(state_dict=kept_state(model, model.state_dict()), meta={}), trained)

        def load_trained() -> None:
            model.load_state_dict(Checkpoint.read(trained).weights, strict=False)

        save_trained()
        read = Checkpoint.read(trained).weights
        same = read.keys() == state.keys() and all(torch.equal(read[key], state[key]) for key in state)
        ways = dict(
            save_trained=save_trained,
            save_whole=lambda: torch.save(model.state_dict(), whole),
            load_trained=load_trained,
            load_whole=lambda: model.load_state_dict(torch.load(whole, weights_only=True)),
        )
        seconds = interleaved({name: ways[name] for name in ('save_trained', 'save_whole')}, args.rounds)
        seconds.update(interleaved({name: ways[name] for name in ('load_trained', 'load_whole')}, args.rounds))
        sizes = dict(trained=trained.stat().st_size, whole=whole.stat().st_size)
    return dict(
        config=config,
        bytes=sizes,
        share=sizes['trained'] / sizes['whole'],
        seconds={name: statistics.median(found) for name, found in seconds.items()},
        same=same,
    )


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    init_default_scope('vlpeft')
    rows = list(map(partial(measure, args=args), args.configs))
    for row in rows:
        if args.json:
            print(json.dumps(row))
            continue
        sizes, seconds = row['bytes'], row['seconds']
        print(f'{row["config"]}: {"the same tensors come back" if row["same"] else "TENSORS DIFFER"}')
        for name in sizes:
            print(
                f'  {name:<8}{sizes[name] / MIB:9.1f} MiB   saved in {seconds[f"save_{name}"]:6.3f} s, loaded in '
                f'{seconds[f"load_{name}"]:6.3f} s'
            )
    return 0 if all(row['same'] for row in rows) else 1


if __name__ == '__main__':
    sys.exit(run_main(main))
