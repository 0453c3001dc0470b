"""Train a model from a config."""

import argparse
import sys
from collections.abc import Callable

import vlpeft  # noqa: F401  makes MMEngine checkpoints loadable
from vlpeft.engine.arguments import add_config_arguments, add_run_arguments, existing_checkpoint
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s uniadapter/blip_msrvtt
  %(prog)s uniadapter/blip_msrvtt --amp --cfg-options model.adapter.bottleneck=512
  %(prog)s mine.py --resume
several GPUs: vlpeft dist-train uniadapter/blip_msrvtt 8 (bash tools/dist_train.sh)

exit code 75: a signal (SIGTERM, SIGINT, SIGUSR1) stopped the run, all steps are saved, and --resume goes on from \
there"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        type=lambda path: path if path == 'auto' else existing_checkpoint(path),
        help='go on from this checkpoint; without a value (or with "auto") from the newest whole one in the work '
        'folder, from scratch if there is none',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision (bfloat16 unless optim_wrapper.dtype says otherwise), on CPUs too',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size, relative to '
        'auto_scale_lr.base_batch_size of the config',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Build the runner and train."""
    args = parse_args(argv)
    from vlpeft.engine.run_console import console_of

    with console_of(args.verbose) as show:
        train(args, show)


def train(args: argparse.Namespace, show: Callable) -> None:
    """Check the run, build it, and train; ``show`` is of :func:`console_of`."""
    from vlpeft.datasets.in_progress import naming_dead_workers
    from vlpeft.engine import launch
    from vlpeft.engine.stopping import leaving_when_stopped
    from vlpeft.engine.work_folder import enter, resumed_from

    problems: list[str] = []
    cfg = launch.load_config(args.config, args.cfg_options, problems)
    launch.apply_run_arguments(cfg, args)
    if args.amp:
        cfg.optim_wrapper.type = 'MixedPrecisionOptimWrapper'
        if cfg.get('val_cfg') is not None:
            launch.enable_eval_amp(cfg.val_cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise SystemExit(f'--auto-scale-lr: {args.config} has no auto_scale_lr=dict(base_batch_size=…)')
        cfg.auto_scale_lr.enable = True
    held = enter(cfg.work_dir)
    if args.resume:
        cfg.load_from = resumed_from(args.resume, cfg.work_dir)
        cfg.resume = cfg.load_from is not None
    launch.check_config(cfg, 'train', problems)
    runner = launch.build_runner(cfg)
    launch.check_batches(runner)
    with naming_dead_workers(), leaving_when_stopped(runner), show(runner):
        runner.train()
    if held is not None:
        held.release()
    del runner
    launch.end_process_group()


if __name__ == '__main__':
    sys.exit(run_main(main))
