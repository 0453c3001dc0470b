"""Worker processes of which one may die: the task that it was at is known, and another takes its place."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any


class Died(Exception):
    """A worker has died at a task.

    Args:
        how (str): 'signal SIGSEGV' or 'exit code 3'.
    """


def work_through(work: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[tuple[Any, Any]]:
    """Do tasks in processes, each process one at a time; a dead one is replaced.

    Args:
        work: What is done with a task. It runs in processes that are forked where the system can.
        tasks: The tasks.
        workers: Processes, at least 1.

    Yields:
        Task and result, as they come. The result is :class:`Died` if the process has died at it, or another exception
        that ``work`` has raised.
    """
    tasks = iter(tasks)
    busy: dict[Any, tuple[Any, Any]] = {}  # pipe: process, task
    idle = []
    try:
        while True:
            while len(busy) < workers and (task := next(tasks, _NONE)) is not _NONE:
                pipe, process = idle.pop() if idle else _start(work)
                pipe.send(task)
                busy[pipe] = process, task
            if not busy:
                return
            for pipe in wait(list(busy)):
                process, task = busy.pop(pipe)
                try:
                    result = pipe.recv()
                except (EOFError, ConnectionError):
                    process.join()
                    pipe.close()
                    result = Died(_how(process.exitcode))
                else:
                    idle.append((pipe, process))
                yield task, result
    finally:
        for pipe, process in [*idle, *((pipe, process) for pipe, (process, _) in busy.items())]:
            process.terminate()
            process.join()
            pipe.close()


_NONE = object()


def _start(work: Callable) -> tuple[Any, Any]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(work, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()  # or the death of the process would not end the pipe
    return ours, process


def _serve(work: Callable, pipe, parent: int) -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        # Later workers hold copies of this pipe's other end, so a dead parent does not end it.
        while not pipe.poll(1):
            if os.getppid() != parent:
                return
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            result = work(task)
        except Exception as error:  # told to the parent, which names the task
            result = RuntimeError(f'{type(error).__name__}: {error}')
        pipe.send(result)


def _how(code: int) -> str:
    return f'signal {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
