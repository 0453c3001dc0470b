"""Pickles from others. A pickle is a program, so every name but those of plain containers is refused."""

import collections
import pickle

from .annotations import AnnotationError, existing

CONTAINERS = {
    (cls.__module__, cls.__name__): cls
    for cls in (dict, list, set, frozenset, tuple, collections.OrderedDict, collections.defaultdict)
}


def read_pickle(path: str) -> object:
    """Content of a pickle of containers, texts and numbers, from Python 2 or 3.

    Args:
        path: The file; texts of Python 2 are taken as UTF-8.

    Raises:
        AnnotationError: The file is missing, damaged, or names anything else, such as a function to call.
    """
    with open(existing(path), 'rb') as file:
        try:
            return _Unpickler(file, encoding='utf-8').load()
        except Exception as error:  # damaged pickles raise nearly anything, says the module's documentation
            raise AnnotationError(f'{path}: not a pickle of plain lists and texts ({error})') from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        known = CONTAINERS.get(('builtins' if module == '__builtin__' else module, name))
        if known is None:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}, which is refused')
        return known
