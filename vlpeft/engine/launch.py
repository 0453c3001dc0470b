"""What the tools that run a config share: loading the config, process groups, the runner."""

import argparse
import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import torch.distributed

# Its functions keep the process group that there is when it is imported; before there is one, they keep none.
import torch.distributed.nn.functional
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner

from vlpeft.checkpoint.scheme import SCHEME

from .packing import share_packing
from .preflight import ConfigError, check_parts, check_run, finished_run, merge_overrides
from .ranks import first_process
from .run_config import RunConfig
from .versions import versions

MMENGINE_LOOPS = ('ValLoop', 'TestLoop')
MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def load_config(path: str, options: dict | None = None, problems: list[str] | None = None) -> Config:
    """Read a config, merge ``--cfg-options`` into it, and share ``packing`` (:func:`share_packing`).

    Args:
        path: Config file.
        options: Dotted keys and their values. Defaults to None.
        problems: Takes what is wrong with overrides, for :func:`check_config` to tell. Defaults to
            None, it is told at once.

    Raises:
        SystemExit: An override would change nothing or does not fit (:func:`merge_overrides`).
    """
    cfg = RunConfig.read(path)
    with _one_message():
        try:
            merge_overrides(cfg, options or {})
        except ConfigError as error:
            if problems is None:
                raise
            problems += [f'--cfg-options {problem}' for problem in error.problems]
    share_packing(cfg)
    return cfg


def check_config(cfg: Config, phase: str, problems: Sequence[str] = ()) -> None:
    """Refuses what cannot run before anything heavy is done, see :func:`check_run`.

    Args:
        cfg: Full config; ``work_dir`` set.
        phase: ``'train'`` or ``'test'``.
        problems: What is already known to be wrong. Defaults to nothing.

    Raises:
        SystemExit: Its message lists all problems. Or, with status 0: a run that is to be resumed is finished.
    """
    with _one_message():
        check_run(cfg, phase, problems)
        finished = finished_run(cfg) if phase == 'train' and cfg.get('resume') else None
    if finished:
        if first_process():
            print(finished)
        raise SystemExit(0)


def check_settings(cfg: Config, *parts: str) -> None:
    """As :func:`check_config` for programs that build some parts and run nothing: types and arguments alone.

    Args:
        cfg: Full config.
        *parts: Top-level keys to look at, such as ``'model'``.

    Raises:
        SystemExit: Its message lists all problems.
    """
    with _one_message():
        check_parts(cfg, *parts)


@contextlib.contextmanager
def _one_message() -> Iterator[None]:
    """Problems of a config end the program with their text, in one of several processes."""
    try:
        yield
    except ConfigError as error:
        raise SystemExit(str(error) if first_process() else 1) from None


def apply_run_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Put launcher and work folder into the config, and LOCAL_RANK into the environment."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or default_work_dir(cfg, args.config)


def default_work_dir(cfg: Config, config: str) -> str:
    """``work_dir`` of a config, by default ``work_dirs`` / the path of its file below ``configs/``."""
    return cfg.get('work_dir') or str('work_dirs' / _path_below_configs(config))


def _path_below_configs(config: str) -> Path:
    """``uniadapter/blip_msrvtt`` of ``configs/uniadapter/blip_msrvtt.py``: methods name their configs alike, and must
    not share a folder. The name alone for a config elsewhere.
    """
    path = Path(config).resolve().with_suffix('')
    above = [i for i, name in enumerate(path.parts[:-1]) if name == 'configs']
    return Path(*path.parts[above[-1] + 1 :]) if above else Path(path.name)


def enable_eval_amp(loop_cfg: dict) -> None:
    """Turn autocast on in a val or test loop: ``fp16`` is what MMEngine's own loops call it, ours say ``amp``."""
    own = loop_cfg.get('type', 'TestLoop') not in MMENGINE_LOOPS
    loop_cfg['amp' if own else 'fp16'] = True


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config: MMEngine's ``Runner``, ``cfg.runner_type``, or ``FlexibleRunner`` where the config
    has a ``strategy``. Without a GPU several processes talk over gloo. A default hook that is None is off.

    Args:
        cfg: Full config; ``launcher`` and ``work_dir`` set.

    Raises:
        ValueError: If a launcher other than ``pytorch`` is used on a machine without a GPU.
    """
    if 'strategy' in cfg:
        cfg.setdefault('runner_type', 'FlexibleRunner')
        # It looks its strategy up before it sets the scope.
        init_default_scope(cfg.default_scope)
    chosen = _use_gloo(cfg) if cfg.launcher != 'none' and get_device() == 'cpu' else None
    if cfg.get('load_from'):
        cfg.load_from = SCHEME + cfg.load_from
    for name in [name for name, hook in cfg.get('default_hooks', {}).items() if hook is None]:
        if name not in MMENGINE_HOOKS:  # of its own ones MMEngine knows that None is off
            cfg.default_hooks.pop(name)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.logger.info(versions())
    if chosen:
        runner.logger.info(f'No GPU: set {chosen}')
    return runner


def _use_gloo(cfg: Config) -> str:
    """Start the process group here: MMEngine's ``init_dist`` selects a CUDA device, and so does its DDP wrapper.

    Returns:
        What was set, for the log, which does not exist yet.
    """
    if cfg.launcher != 'pytorch':
        raise ValueError(f'--launcher {cfg.launcher} needs a GPU; on CPUs use --launcher pytorch (tools/dist_*.sh)')
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    chosen = 'env_cfg.dist_cfg.backend=gloo'
    if 'runner_type' not in cfg:
        cfg.setdefault(
            'model_wrapper_cfg',
            dict(
                type='MMDistributedDataParallel',
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False),
            ),
        )
        cfg.model_wrapper_cfg.device_ids = None
        chosen += ' and model_wrapper_cfg.device_ids=None'
    timeout = timedelta(seconds=cfg.env_cfg.dist_cfg.get('timeout', 1800))
    torch.distributed.init_process_group('gloo', timeout=timeout)
    return chosen


def check_batches(runner: Runner) -> None:
    """Refuses a training set that does not fill a batch.

    Raises:
        SystemExit: The loader gives no batch.
    """
    loader = runner.train_loop.dataloader
    if len(loader) == 0:
        batches = loader.batch_sampler  # the loop's own: the loader knows neither its size nor its share of the set
        raise SystemExit(
            f'train_dataloader: {len(batches.sampler)} samples in each process do not fill a batch of '
            f'{batches.batch_size}, and drop_last=True leaves out what does not; choose a smaller '
            'train_dataloader.batch_size or drop_last=False'
        )


def end_process_group() -> None:
    """Leaves the process group together, and ends the group's threads; give up the runner before.

    A thread of gloo may still let go of a tensor after a collective has ended. If Python shuts down at that moment, the
    process aborts ("terminate called without an active exception"), one run in some fifty on a busy machine. The
    threads end with the group, and that lives as long as the wrapped model of a runner refers to it.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        gc.collect()
        torch.distributed.destroy_process_group()
