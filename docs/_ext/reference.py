"""The API reference: what registries and packages hold, from their docstrings.

Pages of docs/api name where things are, not what there is, so that nothing is missing when something is new:

    ```{registered} MODELS vlpeft.models.heads
    ```
    ```{exported} vlpeft.sites
    ```

``registered`` describes the parts of a registry of ``vlpeft.registry``, of those below a package if one is named.
``exported`` describes classes and functions that a package exports and that are in no registry, by the shortest names
that lead to them: what ``vlpeft`` itself exports is described where its subject is.
"""

import ast
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.domains.python import PyObject
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.nodes import make_refnode

FENCE = re.compile(r'^```\{(?P<kind>registered|exported)\} (?P<words>.+)\n```$', re.M)
SECTION = re.compile(r'\w[\w ]*:$')


def public_name(thing, place: str) -> str:
    """The shortest name by which a class or function is imported from a package or what is above that."""
    parts = place.split('.')
    for end in range(1, len(parts)):
        package = import_module('.'.join(parts[:end]))
        if thing.__name__ in getattr(package, '__all__', ()) and getattr(package, thing.__name__) is thing:
            return f'{package.__name__}.{thing.__name__}'
    return f'{place}.{thing.__name__}'


def registries() -> dict:
    """The registries by the names that ``vlpeft.registry`` gives them, filled."""
    module = import_module('vlpeft.registry')
    found = {name: value for name, value in vars(module).items() if any(value is one for one in module.ALL)}
    for registry in found.values():
        registry.import_from_location()
    return found


def registered(name: str, package: str = 'vlpeft') -> Iterator[tuple[str, object]]:
    """(name by which a config asks for it, part) of a registry, sorted, those defined below a package."""
    for key, thing in sorted(registries()[name].module_dict.items(), key=lambda item: item[0].lower()):
        if f'{thing.__module__}.'.startswith(f'{package}.'):
            yield key, thing


def exported(package: str) -> Iterator[tuple[str, object]]:
    """(name, thing) of the classes and functions that a package exports, but for those of a registry, and of the named
    tuples that methods of these classes return.
    """
    parts = {thing for registry in registries().values() for thing in registry.module_dict.values()}
    module = import_module(package)
    for name in sorted(module.__all__, key=str.lower):
        thing = getattr(module, name)
        ours = (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith('vlpeft')
        if ours and thing not in parts:
            yield name, thing
            yield from ((result.__name__, result) for result in results(thing) if result.__name__ not in module.__all__)


def results(thing) -> Iterator[type]:
    """Named tuples of ours that a class's own methods return, alone or in a list."""
    if inspect.isclass(thing) and not hasattr(thing, '_fields'):
        methods = [member for name, member in vars(thing).items() if name == '__call__' or name[0] != '_']
        waiting = [typing.get_type_hints(method).get('return') for method in methods if inspect.isfunction(method)]
        found: dict[type, None] = {}
        while waiting:
            kind = waiting.pop(0)
            waiting += typing.get_args(kind)
            if hasattr(kind, '_fields') and kind.__module__.startswith('vlpeft'):
                found[kind] = None
        yield from found


def role_of(thing) -> str:
    """What Sphinx calls a thing."""
    if not inspect.isclass(thing):
        return 'function'
    return 'exception' if issubclass(thing, Exception) else 'class'


def described(kind: str, words: str, pages: Path | None = None) -> Iterator[str]:
    """Lines of reStructuredText that describe what a fence names: functions, classes, errors.

    Args:
        kind, words: Of the fence.
        pages: Folder with a page for each method. Defaults to None, no links to pages.
    """
    things = (registered if kind == 'registered' else exported)(*words.split())
    order = ('function', 'class', 'exception')
    for name, thing in sorted(things, key=lambda item: order.index(role_of(item[1]))):
        role = role_of(thing)
        module = import_module(words) if kind == 'exported' else None
        place = words if name in getattr(module, '__all__', ()) else thing.__module__
        yield f'.. auto{role}:: {public_name(thing, place)}'
        if kind == 'exported' and role == 'class':
            others = [base.__name__ for base in thing.__mro__ if not base.__module__.startswith('vlpeft')]
            yield from ('   :members:', f'   :inherited-members: {", ".join(others)}', '   :special-members: __call__')
        yield ''
        if name != thing.__name__:
            yield from (f'   In configs: ``{name}``.', '')
        page = pages and pages / f'{thing.__module__.rpartition(".")[2]}.md'
        if kind == 'registered' and page and page.is_file():
            yield from (f'   Formula, paper and cost: :doc:`/docs/{pages.name}/{page.stem}`.', '')


def fill(app, docname: str, source: list[str]) -> None:
    """Puts the descriptions in the place of the fences."""
    methods = Path(app.srcdir) / 'docs/methods'

    def text(fence: re.Match) -> str:
        return '\n'.join(['```{eval-rst}', *described(fence['kind'], fence['words'], methods), '```'])

    source[0] = FENCE.sub(text, source[0])


def mark_literal_blocks(app, what, name, thing, options, lines: list[str]) -> None:
    """An indented block after an empty line is code or a formula, as it is written: not a quotation."""
    result, section, literal = [], False, False
    for number, line in enumerate(lines):
        indented = line.startswith('    ')
        if line and not indented:
            section, literal = bool(SECTION.match(line)) and number + 1 < len(lines) and bool(lines[number + 1]), False
        if indented and not section and not literal and (number == 0 or not lines[number - 1]):
            literal = True
            if not (result and ''.join(result).rstrip().endswith('::')):
                result += ['::', '']
        result.append(line)
    lines[:] = result


def read_as_function(app, what, name, thing, options, lines: list[str]) -> None:
    """Reads a property's docstring as that of a function: napoleon alone takes words before a colon for its type, and
    knows no sections there.
    """
    if what == 'property':
        # An empty comment is what napoleon then looks for a type in.
        lines[:] = ['..', '', *GoogleDocstring(lines, app.config, app, 'function', name, thing, options).lines()]


def keep_as_written(app, what, name, thing, options, lines: list[str]) -> None:
    """Symbols and names of arguments mean no markup: ``r. Defaults to 8.`` numbers no list, ``a, **b`` is not bold."""
    for number, line in enumerate(lines):
        line = re.sub(r'^(\s*(?::[^:]+: )?)([A-Za-z])\. ', r'\1\2\\. ', line)
        lines[number] = re.sub(r'^:param [^:]+:', lambda entry: re.sub(r'\\?\*', r'\\*', entry[0]), line)


def leave_out_made_defaults(app, what, name, thing, options, arguments: str | None, returns: str | None):
    """Writes defaults that are made anew as ``...``: what Python prints for them is no code."""
    return arguments and re.sub(r'<[^<>]*>', '...', arguments), returns


@cache
def names_of_ours(package: Path) -> frozenset[str]:
    """All that modules of a package define or are called."""
    found = set()
    for path in package.rglob('*.py'):
        found |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return frozenset(found)


def resolve(app, env, node, content) -> nodes.Node | None:
    """Leads a name to its description, whatever module it is named from.

    Docstrings use names as their module knows them. What is not described here, because it is not public or of another
    library, stays text. Only a name that there is not is left, for Sphinx to warn of.
    """
    if node.get('refdomain') != 'py':
        return None
    target = node['reftarget']
    domain, last = env.domains['py'], target.rpartition('.')[2]
    for name in dict.fromkeys((target, last)):
        matches = [match for match in domain.find_obj(env, None, None, name, None, 1) if not match[1].aliased]
        if len(matches) == 1:
            (name, entry), *_ = matches
            return make_refnode(app.builder, node['refdoc'], entry.docname, entry.node_id, content, name)
    other = '.' in target and target.partition('.')[0] in sys.modules and not target.startswith('vlpeft.')
    return content if other or last in names_of_ours(Path(app.srcdir) / 'vlpeft') else None


def setup(app) -> dict:
    """Called by Sphinx."""
    for field in PyObject.doc_field_types:
        if field.name == 'variable':
            field.label = 'Attributes'
    app.connect('source-read', fill)
    app.connect('autodoc-process-signature', leave_out_made_defaults)
    app.connect('missing-reference', resolve)
    # Before napoleon, which knows the sections by their indentation.
    app.connect('autodoc-process-docstring', mark_literal_blocks, priority=400)
    app.connect('autodoc-process-docstring', read_as_function, priority=450)
    app.connect('autodoc-process-docstring', keep_as_written, priority=600)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
