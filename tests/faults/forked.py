"""Runs of a tiny recipe in forked processes that are killed on purpose: python -m tests.faults.forked FOLDER JOBS.json

The parent imports what a run needs and trains nothing, so that a run costs what it computes. A job is ``{"name",
"kill": null | {"call": n} | {"seconds": s} | {"file_bytes": n}}``: the run starts in ``FOLDER/name``, is ended so, and
is then resumed there until it ends by itself. Prints one line of JSON a job: how the first run ended, after how many
seconds, and in how many goes it got to the end.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from mmengine.runner import Runner

import vlpeft  # noqa: F401
from vlpeft.engine.run_config import RunConfig
from vlpeft.engine.work_folder import enter, resumed_from

#: What a save does to the file system, in any order of modules.
CALLS = ('replace', 'fsync', 'chmod', 'unlink')


def kill_at(number: int) -> None:
    """Kills this process right before the ``number``-th call that changes the file system, counted from 1."""
    count = [0]

    def counting(function):

        def call(*args, **kwargs):
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))


def read(folder: Path, name: str, resume: bool) -> RunConfig:
    cfg = RunConfig.read(folder / 'config.py')
    cfg.work_dir, cfg.experiment_name, cfg.log_level = str(folder / name), f'{name}{resume}', 'ERROR'
    return cfg


def train(folder: Path, name: str, resume: bool) -> None:
    """As tools/train.py."""
    cfg = read(folder, name, resume)
    held = enter(cfg.work_dir)
    if resume:
        cfg.load_from = resumed_from('auto', cfg.work_dir)
        cfg.resume = cfg.load_from is not None
    Runner.from_cfg(cfg).train()
    held.release()


def in_child(function, kill_after: float | None = None) -> int:
    """Exit status of a forked process that calls ``function``: negative for a signal; 1 for an exception."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            function()
            code = 0
        except BaseException as error:
            print(f'{type(error).__name__}: {error}', file=sys.stderr)
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_job(folder: Path, name: str, kill: dict | None) -> dict:
    """Ends a run as ``kill`` says, and resumes it until it is through."""
    kill = kill or {}

    def first():
        if 'call' in kill:
            kill_at(kill['call'])
        if 'file_bytes' in kill:
            resource.setrlimit(resource.RLIMIT_FSIZE, (kill['file_bytes'], resource.RLIM_INFINITY))
        train(folder, name, resume=False)

    start = time.monotonic()
    ended, goes = in_child(first, kill.get('seconds')), 1
    seconds = time.monotonic() - start
    left = sorted(path.name for path in (folder / name).glob('*')) if (folder / name).is_dir() else []
    status = ended
    while status and goes < 4:
        status, goes = in_child(lambda: train(folder, name, resume=True)), goes + 1
    return dict(name=name, ended=ended, goes=goes, status=status, left=left, seconds=seconds)


def main() -> None:
    folder = Path(sys.argv[1])
    Runner.from_cfg(read(folder, 'built', False))  # imports what is imported when it is first used
    gc.freeze()  # MMEngine collects garbage whenever it builds a set
    for job in json.loads(Path(sys.argv[2]).read_text()):
        print(json.dumps(run_job(folder, job['name'], job.get('kill'))), flush=True)


if __name__ == '__main__':
    main()
