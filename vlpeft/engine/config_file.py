"""Reading config files. Python configs are programs; YAML and JSON configs are data, and reading them runs nothing.

MMEngine's own reader builds whatever Python object a YAML file names, follows ``_base_`` from YAML into Python files,
imports ``custom_imports``, puts environment variables into texts, and finds any function by a dotted ``type``. A YAML
or JSON config can do none of this here, nor can those that it inherits.
"""

import json
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from mmengine.config import Config
from mmengine.fileio import BaseFileHandler, register_handler

from vlpeft.nearest import suggestion
from vlpeft.zoo.folder import PREFIX, config_below, config_paths, zoo_root

YAML, JSON = ('.yaml', '.yml'), '.json'
#: Keys whose values registries look up, and MMEngine imports from anywhere if they have dots.
LOOKED_UP = ('type', 'constructor', 'runner_type')
SCOPE_KEYS = ('_scope_', 'default_scope')
SCOPES = ('vlpeft', 'mmengine', 'mmpretrain')
BASE_VALUE = re.compile(r'\{\{\s*_base_\.[\w.]+\s*\}\}')
#: A short file of YAML aliases can stand for billions of settings.
MOST = 100_000
ENVIRONMENT = re.compile(r'\{\{[\'"]?\s*\$')
NAME = re.compile(rf'((?:{"|".join(SCOPES)})\.(?=[A-Z]))?\w+')


class ConfigFileError(ValueError):
    """A Python config that fails, or a YAML or JSON one that is none or asks for what only a program may do."""


@register_handler(['yaml', 'yml'])
class SafeYamlHandler(BaseFileHandler):
    """In place of MMEngine's for all that it loads, such as a YAML file that a Python config inherits."""

    def load_from_fileobj(self, file, **kwargs):
        import yaml

        return yaml.safe_load(file)

    def dump_to_fileobj(self, obj, file, **kwargs) -> None:
        import yaml

        yaml.safe_dump(obj, file, **kwargs)

    def dump_to_str(self, obj, **kwargs) -> str:
        import yaml

        return yaml.safe_dump(obj, **kwargs)


_mmengine_base_path = Config._get_cfg_path


def _base_path(base: str, inheritor: str) -> tuple[str, str | None]:
    """In place of MMEngine's, which knows the packages of OpenMMLab alone: ``vlpeft::`` begins a path below the zoo's
    configs. Their types need no scope, since each of them has vlpeft as its default scope.
    """
    if not base.startswith(PREFIX):
        return _mmengine_base_path(base, inheritor)
    name = base.removeprefix(PREFIX)
    found = config_below(zoo_root(), name)
    if found is None:
        hint = suggestion(name, config_paths(zoo_root()))
        raise ConfigFileError(f'{inheritor}: the zoo has no config {name!r}, which _base_ names{hint}')
    return str(found), None


Config._get_cfg_path = staticmethod(_base_path)


def read_config(path: str | Path) -> Config:
    """Reads a config file.

    Args:
        path: Of a Python config, which is run as a program; or a YAML or JSON file, which is not.

    Raises:
        ConfigFileError: A YAML or JSON config, or one that it inherits, is damaged or asks for what only a Python
            config may: a Python base, ``custom_imports``, environment variables, objects of any module. Of any
            config: the zoo has no config of the name in a ``vlpeft::`` base.
            Or a Python config, or a base of it, fails; the message names the line.
        FileNotFoundError: There is no such file.
    """
    path = Path(path).expanduser()
    if path.suffix not in ('.py', *YAML, JSON) and path.is_file():
        raise ConfigFileError(f'{path} is no config by its suffix; known: .py, {", ".join((*YAML, JSON))}')
    if path.suffix not in (*YAML, JSON):
        with _naming_lines(path):
            return Config.fromfile(path)
    _check_chain(path, ())
    try:
        cfg = Config.fromfile(path, import_custom_modules=False, use_environment_variables=False)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # reserved names, keys that are no texts
        reason = error.args[0] if error.args else type(error).__name__
        raise ConfigFileError(f'{path} cannot be a config: {reason}') from error
    # The result, because a value may come from elsewhere in a base.
    check_plain(cfg.to_dict(), path)
    return cfg


def check_plain(settings: dict[str, Any], origin: str | Path) -> None:
    """Refuses settings that ask for what only a program may do.

    Args:
        settings: Of a config that is data.
        origin: Its file, for messages.

    Raises:
        ConfigFileError: As :func:`read_config`.
    """
    for where, key, value in _entries(settings, ''):
        _check(origin, where, key, value)


@contextmanager
def _naming_lines(path: Path) -> Iterator[None]:
    """Errors of a Python config come with the file and line that has them."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # whatever a program may raise
        reason = ' '.join(str(error).split())
        if isinstance(error, SyntaxError):
            file = _being_read(error.__traceback__) or path
            raise ConfigFileError(f'{file}:{error.lineno}: SyntaxError: {error.msg}') from error
        calls = [call for call in traceback.extract_tb(error.__traceback__) if Path(call.filename).suffix == '.py']
        place = next((call for call in reversed(calls) if _is_config(call.filename, path)), None)
        where = f'{place.filename}:{place.lineno}' if place else path
        raise ConfigFileError(f'{where}: {type(error).__name__}: {reason}') from error


def _being_read(trace: TracebackType | None) -> str | None:
    """The config that MMEngine was reading, which its parser calls unknown: the innermost of a chain of bases."""
    names = (
        frame.f_locals.get('filename')
        for frame, _ in traceback.walk_tb(trace)
        if 'mmengine' in frame.f_code.co_filename
    )
    return next((name for name in reversed(list(names)) if isinstance(name, str) and Path(name).is_file()), None)


def _is_config(file: str, path: Path) -> bool:
    """Whether a file of a traceback is the config or a base of it, rather than a module."""
    return Path(file).resolve() == path.resolve() or Path(file).resolve() not in {
        Path(module.__file__).resolve() for module in list(sys.modules.values()) if getattr(module, '__file__', None)
    }


def _check_chain(path: Path, above: tuple[Path, ...]) -> None:
    """Refuses what is no data in a config and all that it inherits; ``above`` are those that inherit it."""
    if not path.is_file():
        inheritor = f', which {above[-1]} inherits' if above else ''
        raise FileNotFoundError(f'config file {path} does not exist{inheritor}')
    if path.resolve() in [other.resolve() for other in above]:
        raise ConfigFileError(f'{path} inherits itself')
    content = _parse(path, BASE_VALUE.sub('""', _text(path)))
    if not isinstance(content, dict):
        raise ConfigFileError(f'{path} holds no settings, but {type(content).__name__}')
    try:
        if len(list(islice(_entries(content, ''), MOST + 1))) > MOST:
            raise ConfigFileError(f'{path}: more than {MOST:,} settings, by way of aliases')
    except RecursionError as error:
        raise ConfigFileError(f'{path}: nested too deeply, or an alias holds itself') from error
    bases = content.get('_base_', [])
    for base in [bases] if isinstance(bases, str) else bases:
        if not isinstance(base, str) or '::' in base or Path(base).suffix not in (*YAML, JSON):
            raise ConfigFileError(
                f'{path}: _base_ {base!r} is no YAML or JSON file; only a Python config (.py) may inherit programs'
            )
        _check_chain(path.parent / base, (*above, path))


def read_plain(path: Path) -> Any:
    """Content of a YAML or JSON file: texts, numbers, lists and dicts.

    Raises:
        ConfigFileError: It is damaged or holds anything else; the message names the line.
    """
    return _parse(path, _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ConfigFileError(f'{path}: no text ({error})') from error


def _parse(path: Path, text: str) -> Any:
    import yaml

    try:
        return json.loads(text) if path.suffix == JSON else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, 'problem_mark', None)
        line = f':{mark.line + 1}' if mark else f':{error.lineno}' if hasattr(error, 'lineno') else ''
        reason = getattr(error, 'problem', None) or ' '.join(str(error).split())
        form = 'JSON' if path.suffix == JSON else 'YAML'
        raise ConfigFileError(f'{path}{line}: not plain {form} ({reason})') from error


def _entries(value: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """(dotted place, key or number, value) of all entries of dicts and lists, however deep."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        place = f'{where}.{key}' if where else str(key)
        yield place, key, item
        yield from _entries(item, place)


def _check(path: str | Path, where: str, key: Any, value: Any) -> None:
    if any(isinstance(text, str) and ENVIRONMENT.search(text) for text in (key, value)):
        raise ConfigFileError(f'{path}: {where} asks for an environment variable, which only a Python config (.py) may')
    if key == 'custom_imports':
        raise ConfigFileError(f'{path}: {where} imports modules, which only a Python config (.py) may')
    if key in LOOKED_UP and isinstance(value, str) and not NAME.fullmatch(value) and not _is_function(value):
        raise ConfigFileError(
            f'{path}: {where}={value!r} is no registered name; a YAML or JSON config may say Name '
            f'or, of {", ".join(SCOPES)}, scope.Name; a Python config (.py) may name any object'
        )
    if key in SCOPE_KEYS and value not in SCOPES:
        raise ConfigFileError(f'{path}: {where}={value!r}; choose from {", ".join(SCOPES)}, or write a Python config')


def _is_function(name: str) -> bool:
    """Whether a name is that of a registered function of vlpeft, such as one that joins samples; MMEngine finds these
    by their scope alone.
    """
    if not name.startswith(f'{SCOPES[0]}.'):
        return False
    from vlpeft.registry import FUNCTIONS, names_of

    FUNCTIONS.import_from_location()
    return name.removeprefix(f'{SCOPES[0]}.') in names_of(FUNCTIONS)
