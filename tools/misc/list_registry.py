"""List every part that vlpeft registers, with its one-line description."""

import argparse
import importlib
import inspect
import json
import pkgutil
import sys

from mmengine.registry import Registry
from rich.table import Table

from vlpeft import registry as registries
from vlpeft.engine.messages import run_main
from vlpeft.engine.plain_console import plain_console


def import_packages(registry: Registry) -> list[str]:
    """Import every module of a registry's packages and say which could not be imported.

    MMEngine imports a package as a whole; going module by module keeps the parts that do import on the list when an
    optional dependency of another one is missing.
    """
    problems = []
    for location in registry._locations:
        try:
            package = importlib.import_module(location)
        except Exception as error:  # noqa: BLE001  whatever a package raises, the others are listed
            problems.append(f'{location}: {type(error).__name__}: {error}')
            continue
        # It may also be a single file.
        folders = getattr(package, '__path__', [])
        for module in pkgutil.walk_packages(folders, location + '.', onerror=lambda name: None):
            try:
                importlib.import_module(module.name)
            except Exception as error:  # noqa: BLE001
                problems.append(f'{module.name}: {type(error).__name__}: {error}')
    return problems


def describe(registry: Registry) -> list[dict[str, str]]:
    """Registered parts of one registry, sorted by name: ``name``, ``module`` and ``summary`` (first docstring line)."""
    parts = []
    for name, part in sorted(registry._module_dict.items()):
        summary = (inspect.getdoc(part) or '').split('\n')[0]
        parts.append(dict(name=name, module=part.__module__, summary=summary))
    return parts


def main(argv: list[str] | None = None) -> int:
    """Print the table or the JSON object; 1 if a package could not be imported."""
    by_name = {
        name: value
        for name, value in vars(registries).items()
        if isinstance(value, Registry) and value in registries.ALL
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--registry', metavar='NAME', type=str.upper, choices=by_name, help=f'only this one of {", ".join(by_name)}'
    )
    parser.add_argument('--json', action='store_true', help='print {registry: [{name, module, summary}]}')
    args = parser.parse_args(argv)
    selected = {args.registry: by_name[args.registry]} if args.registry else by_name
    problems = [problem for registry in selected.values() for problem in import_packages(registry)]
    listing = {name: describe(registry) for name, registry in selected.items()}
    if args.json:
        print(json.dumps(listing, indent=2))
    else:
        table = Table('registry', 'type', 'what it is', title='Registered parts of vlpeft')
        for name, parts in listing.items():
            for part in parts:
                table.add_row(name, part['name'], part['summary'])
            table.add_section()
        plain_console().print(table)
    for problem in dict.fromkeys(problems):
        print(f'could not import {problem}', file=sys.stderr)
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(run_main(main))
