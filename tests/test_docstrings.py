"""One dialect of docstrings: Google style, a type only where the signature has none. Ruff checks the rest."""

import ast
import importlib
import inspect
import pkgutil
import re

import vlpeft
from tests.workspace import ROOT

SECTION = re.compile(r'(Args|Attributes|Returns|Yields|Raises|Note|Example):$')
TYPE = re.compile(r' {4}([\w.]+(?:\[[^:]*\])?(?: \| \w+)?): ')
ENTRY = re.compile(r' {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*) \(.*?\): ')


def annotated(node):
    """Names with a type: arguments of a function; of a class those of its constructor, and its fields."""
    if isinstance(node, ast.ClassDef):
        found = {
            name for member in node.body if getattr(member, 'name', '') == '__init__' for name in annotated(member)
        }
        return found | {member.target.id for member in node.body if isinstance(member, ast.AnnAssign)}
    arguments = (*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
    return {argument.arg for argument in arguments if argument is not None and argument.annotation is not None}


def said_twice(source):
    """Names whose type is in the signature and in the docstring, and types before what is returned."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        section, names = None, annotated(node)
        returned = getattr(node, 'returns', None) and ast.unparse(node.returns).strip("'")
        for line in (ast.get_docstring(node) or '').splitlines():
            if match := SECTION.match(line):
                section = match[1]
            elif section in ('Args', 'Attributes') and (match := ENTRY.match(line)):
                yield from (name for name in match[1].replace('*', '').split(', ') if name in names)
            elif section in ('Returns', 'Yields') and (match := TYPE.match(line)) and match[1] in (returned or ''):
                yield f'{node.name} -> {match[1]}'


def test_types_stand_in_the_signature_alone():
    found = [
        f'{path.relative_to(ROOT)}: {name}'
        for folder in ('vlpeft', 'tools')
        for path in sorted((ROOT / folder).rglob('*.py'))
        for name in said_twice(path.read_text())
    ]
    assert not found, 'the docstring repeats the type of\n' + '\n'.join(found)


def test_a_repeated_type_is_found():
    source = '''
class A:
    """One line.

    Args:
        width (int): D.
        rest (dict): What is left.
        first, last (int, optional): Ends. Defaults to 0.
    """

    def __init__(self, width: int, rest, first: int = 0, last: int = 0): ...

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Sizes.

        Yields:
            tuple[int, int]: Height and width in pixels.
        """

    def size(self) -> int:
        """Size.

        Returns:
            Height: that of the image.
        """
'''
    assert list(said_twice(source)) == ['width', 'first', 'last', 'sizes -> tuple[int, int]']


def test_public_methods_have_a_docstring_or_override_one():
    silent = []
    for module in pkgutil.walk_packages(vlpeft.__path__, 'vlpeft.'):
        if module.name.endswith('__main__'):
            continue
        for cls in vars(importlib.import_module(module.name)).values():
            if not inspect.isclass(cls) or cls.__module__ != module.name or cls.__name__.startswith('_'):
                continue
            for name, member in vars(cls).items():
                function = getattr(member, '__func__', getattr(member, 'fget', member))
                if name.startswith('_') or not inspect.isfunction(function) or function.__module__ != module.name:
                    continue
                if not function.__doc__ and not any(name in vars(base) for base in cls.__mro__[1:]):
                    silent.append(f'{module.name}.{cls.__name__}.{name}')
    assert not silent, 'no docstring: ' + ', '.join(silent)
