"""Which process of a run this is, before there is a process group."""

import os
from pathlib import Path

#: The number of a process, by what started it: torchrun, Slurm, Open MPI.
VARIABLES = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
#: Names a file that comes to be when a process of a run ends with all saved; :mod:`vlpeft.engine.torchrun`, which makes
#: its folder for the run, reads it.
NOTE = 'VLPEFT_STOP_NOTE'


def first_process() -> bool:
    """Whether this process speaks for the run: the first of several, or the only one."""
    return all(os.environ.get(name, '0') == '0' for name in VARIABLES)


def shared_folder() -> Path | None:
    """A folder of the running processes of this machine alone, if ``vlpeft.engine.torchrun`` started them."""
    note = os.environ.get(NOTE)
    return Path(note).parent if note else None
