"""Which process of a run this is, before there is a process group."""

import os

#: The number of a process, by what started it: torchrun, Slurm, Open MPI.
VARIABLES = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')


def first_process() -> bool:
    """Whether this process speaks for the run: the first of several, or the only one."""
    return all(os.environ.get(name, '0') == '0' for name in VARIABLES)
