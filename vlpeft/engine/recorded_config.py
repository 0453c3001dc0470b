"""The config that a checkpoint records, read as data: its text is a program, and MMEngine would run it."""

import ast
from collections.abc import Mapping
from typing import Any

from .config_file import ConfigFileError

#: Numbers that Python writes by name.
NAMED = {'inf': float('inf'), 'nan': float('nan')}


def recorded_config(meta: Mapping[str, Any], origin: str) -> dict[str, Any] | None:
    """The settings of the run that wrote a checkpoint.

    Args:
        meta: Of the checkpoint.
        origin: The file, for messages.

    Returns:
        Top-level keys and values: dicts, lists, tuples, texts, numbers. None where it records no config.

    Raises:
        ConfigFileError: Its text is more than values, so that only running it would tell what they are.
    """
    text = meta.get('cfg')
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        settings = {}
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise ValueError(f'line {statement.lineno} is no setting')
            settings[ast.unparse(statement.targets[0])] = _value(statement.value)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ConfigFileError(f'{origin}: the config that it records is not plain ({error})') from error
    return settings


def _value(node: ast.expr) -> Any:
    """What an expression of values stands for: literals, and ``dict(key=value)``."""
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict') or node.args:
            raise ValueError(f'line {node.lineno} calls {ast.unparse(node.func)[:60]}')
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f'line {node.lineno} unpacks a dict')
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError(f'line {node.lineno} unpacks a dict')
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(map(_value, node.elts))
    if isinstance(node, ast.Name) and node.id in NAMED:
        return NAMED[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    return ast.literal_eval(node)
