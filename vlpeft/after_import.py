"""What must happen once another library is imported, without importing that library now."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import ModuleType


class _Watch(MetaPathFinder):
    """Finds ``library`` as the other finders do, and lets its loader do the rest at the end."""

    def __init__(self, library: str, then: Callable[[], object]) -> None:
        self.library, self.then = library, then

    def find_spec(self, name, path=None, target=None):
        if name != self.library:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        # A library may also be looked for without being imported.
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._followed(spec.loader.exec_module)
        return spec

    def _followed(self, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def execute_and_follow(library: ModuleType) -> None:
            execute(library)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self.then()

        return execute_and_follow


def import_with(library: str, module: str, function: str | None = None) -> None:
    """Imports a module as soon as a library has been imported; now, if it already is.

    Args:
        library: Name of a library or of a module in it, such as ``'torch'``.
        module: Full name of the module that needs it.
        function: Name of one of the module's functions, called without arguments then. Defaults to None.
    """

    def then() -> None:
        needs = import_module(module)
        if function is not None:
            getattr(needs, function)()

    if library in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Watch(library, then))
