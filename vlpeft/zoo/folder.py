"""Where the zoo lies: the folder of configs, tools and metafiles, of an installed package or of a checkout."""

from pathlib import Path

INDEX = 'model-index.yml'
#: Begins the path of a config of the zoo: ``_base_ = 'vlpeft::uniadapter/blip_msrvtt.py'``.
PREFIX = 'vlpeft::'


class ZooError(ValueError):
    """A model that the zoo does not have, weights that are not published, or a faulty metafile."""


def zoo_root() -> Path:
    """The folder that holds ``model-index.yml``, ``configs`` and ``tools``: inside an installed package, else the
    checkout.

    Raises:
        ZooError: There is none.
    """
    package = Path(__file__).parents[1]
    for folder in (package / '.mim', package.parent):
        if (folder / INDEX).is_file():
            return folder
    raise ZooError(f'no {INDEX} in {package / ".mim"} or {package.parent}: vlpeft is not installed completely')


def config_below(root: Path, name: str) -> Path | None:
    """The config file that a path below ``configs`` names, with or without ``configs/`` before it and suffix after it.

    Args:
        root: The folder that holds ``configs``.
        name: Such as ``'uniadapter/blip_msrvtt'``.

    Returns:
        None if there is none, or if the path leads out of ``configs``.
    """
    configs = root / 'configs'
    path = configs / name.removeprefix('configs/')
    if '..' in path.parts or not path.is_relative_to(configs):
        return None
    # Names may hold points, as in opt-2.7b.
    return next((file for file in (path, path.with_name(f'{path.name}.py')) if path.name and file.is_file()), None)


def config_paths(root: Path) -> list[str]:
    """Paths of all Python configs below ``configs``, those that others inherit included."""
    configs = root / 'configs'
    return sorted(file.relative_to(configs).as_posix() for file in configs.rglob('*.py'))
