"""Evaluate a checkpoint, or the base model without one, on the test set of a config."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import vlpeft  # noqa: F401  makes MMEngine checkpoints loadable
from vlpeft.engine.arguments import add_config_arguments, add_run_arguments, existing_checkpoint
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s uniadapter/blip_msrvtt work_dirs/uniadapter/blip_msrvtt/epoch_5.pth --out result.json
  %(prog)s uniadapter/blip_msrvtt work_dirs/uniadapter/blip_msrvtt/epoch_5.pth --report report   # report/index.html
  %(prog)s baselines/blip_msrvtt_heads none      # the base model, nothing trained
several GPUs: vlpeft dist-test uniadapter/blip_msrvtt CHECKPOINT 8 (bash tools/dist_test.sh)"""


#: File beside the page of a report.
RESULT = 'result.json'


def json_path(path: str) -> str:
    """Argparse type: the name of a file of JSON or JSON lines."""
    if not path.endswith(('.json', '.jsonl')):
        raise argparse.ArgumentTypeError(f'{path} must end with .json or .jsonl')
    return path


def folder_path(path: str) -> str:
    """Argparse type: the name of a folder."""
    if not path.strip():
        raise argparse.ArgumentTypeError('the name of a folder is missing')
    return path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        'checkpoint',
        type=lambda path: path if path == 'none' else existing_checkpoint(path),
        help='checkpoint file or URL; "none" loads nothing and evaluates the base model',
    )
    add_run_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='run the model under autocast')
    parser.add_argument(
        '--allow-random',
        action='store_true',
        help='test although parts of the model come from no file and have their initial values '
        '(default: an error that names them)',
    )
    parser.add_argument(
        '--out',
        metavar='FILE.json[l]',
        type=json_path,
        help='write metrics, their 95 %% intervals and the predictions to this file; one that ends with .jsonl gets '
        'the predictions alone, a line for each: question, file, truth, prediction, score',
    )
    parser.add_argument(
        '--report',
        metavar='DIR',
        type=folder_path,
        help='write a page to look at, DIR/index.html: metrics with intervals, charts, best and worst examples with '
        'their pictures; without --out FILE.json also DIR/result.json',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Build the runner, test, and write the results."""
    args = parse_args(argv)
    from vlpeft.engine.run_console import console_of

    with console_of(args.verbose) as show:
        test(args, show)


def test(args: argparse.Namespace, show: Callable) -> None:
    """Check the run, build it, and test; ``show`` is of :func:`console_of`."""
    from mmengine.dist import is_main_process

    from vlpeft.datasets.in_progress import naming_dead_workers
    from vlpeft.engine import launch
    from vlpeft.engine.report import KeepGallery, check_writable

    problems: list[str] = []
    cfg = launch.load_config(args.config, args.cfg_options, problems)
    launch.apply_run_arguments(cfg, args)
    cfg.resume = False
    cfg.load_from = None if args.checkpoint == 'none' else args.checkpoint
    if args.amp:
        launch.enable_eval_amp(cfg.test_cfg)
    hook = cfg.get('default_hooks', {}).get('checkpoint')
    if hook is not None and hook.type == 'AdapterCheckpointHook':
        hook.allow_random = args.allow_random
    launch.check_config(cfg, 'test', problems)
    for file in filter(None, (args.report and Path(args.report) / RESULT, args.out)):
        check_writable(file)
    runner = launch.build_runner(cfg)
    if args.report:
        runner.register_hook(KeepGallery())
    with naming_dead_workers(), show(runner):
        figures = runner.test()
    if is_main_process():
        write(args, runner, figures)
    del runner
    launch.end_process_group()


def write(args: argparse.Namespace, runner, figures: dict) -> None:
    """Write what was asked for; figures and predictions first, so that nothing that follows can lose them."""
    from vlpeft.engine.progress import say
    from vlpeft.engine.report import left_out, metrics_with_loops, run_facts, write_run_report
    from vlpeft.evaluation.predictions import write_predictions
    from vlpeft.evaluation.result import add_intervals, result_of, write_result

    metrics = [metric for metric, _ in metrics_with_loops(runner)]
    out = args.out
    if out and out.endswith('.jsonl'):
        write_predictions(out, metrics)
        out = None
    if args.report and not out:
        out = Path(args.report) / RESULT
    if not out:
        return
    result = result_of(args.config, args.checkpoint, figures, metrics, run_facts(runner), left_out(runner))
    write_result(out, result)
    add_intervals(result, metrics)
    write_result(out, result)
    if args.report:
        try:
            say(f'report: {write_run_report(args.report, runner, result)}')
        except Exception:
            say(f'metrics and predictions are in {out}; only the page of the report could not be written')
            raise


if __name__ == '__main__':
    sys.exit(run_main(main))
