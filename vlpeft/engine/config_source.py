"""The text of a config, made to run from any folder."""

import ast
from pathlib import Path

from vlpeft.zoo.folder import PREFIX, zoo_root


def portable_source(path: str | Path) -> str:
    """The text of a Python config, each relative ``_base_`` replaced by what finds it from anywhere: a ``vlpeft::``
    name for a config of the zoo, else the full path.

    Args:
        path: Config file.

    Raises:
        SystemExit: It is no Python config.
    """
    path = Path(path)
    if path.suffix != '.py':
        raise SystemExit(f'{path}: only a Python config can be printed as a recipe')
    source = path.read_text(encoding='utf-8')
    lines = source.splitlines(keepends=True)
    texts = [
        constant
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ['_base_']
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]
    # From the end, so that places stay; columns count bytes.
    for text in sorted(texts, key=lambda text: (text.lineno, text.col_offset), reverse=True):
        line = lines[text.lineno - 1].encode()
        new = repr(_anywhere(text.value, path)).encode()
        lines[text.lineno - 1] = (line[: text.col_offset] + new + line[text.end_col_offset :]).decode()
    return ''.join(lines)


def _anywhere(base: str, inheritor: Path) -> str:
    if '::' in base:
        return base
    file, configs = (inheritor.parent / base).resolve(), (zoo_root() / 'configs').resolve()
    return PREFIX + file.relative_to(configs).as_posix() if file.is_relative_to(configs) else str(file)
