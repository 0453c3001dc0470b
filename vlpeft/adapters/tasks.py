"""Names of the tasks that a method has something of its own for."""

from collections.abc import Sequence

from torch import nn


def check_tasks(wanted_by: str, tasks: Sequence[str]) -> tuple[str, ...]:
    """The names.

    Raises:
        ValueError: It is no list of different names without dots, which are parts of the names of tensors; or torch's
            containers of modules have a method of that name.
    """
    names = () if isinstance(tasks, str) else tuple(tasks)
    sound = all(isinstance(name, str) and name and '.' not in name for name in names)
    if not names or not sound or len(set(names)) < len(names):
        raise ValueError(f"{wanted_by}: tasks={tasks!r}; it is a list of different names, such as tasks=['vqa', 'gqa']")
    if taken := [name for name in names if hasattr(nn.ModuleDict, name)]:
        raise ValueError(f'{wanted_by}: no task can be called {taken[0]!r}, which is a name of torch.nn.ModuleDict')
    return names
