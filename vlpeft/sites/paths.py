"""How names of modules and parameters are put together."""

UP = '../'


def below(root: str, path: str) -> str:
    """The name of what is at ``path`` below the module ``root``.

    Args:
        root: Its name; ``''`` where it is the whole model itself.
        path: Name below it, ``''`` for the module itself. Each ``../`` at its start leads one level up, to what lies
            beside the module.
    """
    while path.startswith(UP):
        root, path = root.rpartition('.')[0], path.removeprefix(UP)
    return f'{root}.{path}' if root and path else root or path


def is_below(root: str, name: str) -> bool:
    """Whether ``name`` is that of the module ``root`` or of something below it; ``''`` is the whole model itself."""
    return not root or f'{name}.'.startswith(f'{root}.')
