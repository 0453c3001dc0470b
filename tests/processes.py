"""Processes of a test that begin at once: forked from one that has imported what they need and done nothing else."""

import multiprocessing
from collections.abc import Callable

import torch.multiprocessing

# What cannot be imported here, as the tests' own modules from another folder, each process imports itself.
multiprocessing.set_forkserver_preload(
    ['mmengine.runner', 'vlpeft.engine.launch', 'vlpeft.models', 'vlpeft.datasets', 'vlpeft.evaluation.metrics']
    + ['tests.tiny', 'tests.tiny_vl', 'tests.tiny_epalm', 'tests.sharded_runs']
)


def run_on_ranks(function: Callable, *args, world: int = 2) -> None:
    """Calls ``function(rank, *args)`` in ``world`` new processes and waits; an error of one is raised here."""
    torch.multiprocessing.start_processes(function, args, world, start_method='forkserver')
