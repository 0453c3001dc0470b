"""What the tabs share: a model that answers twice, with its adapter and without, and errors in one line."""

import re
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from vlpeft.datasets import ClipError
from vlpeft.engine.messages import mistake

from .fragments import facts, problem
from .sources import Source

T = TypeVar('T')
#: The folders of an absolute path.
FOLDERS = re.compile(r'(?<![\w./])/(?:[^\s/:\'"]+/)+(?=[^\s/])')
UNEXPECTED = 'This did not work. The terminal in which the demo runs says why.'


class Tab:
    """A model, described and asked.

    Args:
        source: Where it is from.
        inferencer: An inferencer with the adapter that ``adapters`` names.
        more: What else there is to say of it: names and values.

    Attributes:
        titles: Headings of the two columns, by the adapter that acts: None is none.
    """

    def __init__(self, source: Source, inferencer: Any, more: Sequence[tuple[str, str]] = ()) -> None:
        self.source, self.inferencer, self.more = source, inferencer, tuple(more)
        self.method = self.name_method()
        self.titles = {None: 'Base alone', inferencer.adapters[0]: f'With {self.method}'}
        # An inferencer switches the adapter of the one model that it has.
        self._lock = threading.Lock()

    def name_method(self) -> str:
        """What trained the model, in a word."""
        return self.inferencer.model.method.partition(' of a ')[0]

    def compare(self, ask: Callable[[str | None], T]) -> dict[str, T]:
        """Asks without the adapter, then with it; nobody else in between.

        Args:
            ask: Takes the name of the adapter, None for none.

        Returns:
            Answers by the title of their column.
        """
        with self._lock:
            return {title: ask(adapter) for adapter, title in self.titles.items()}

    def describe(self) -> str:
        """HTML that says which model this is, and what the two columns are."""
        checkpoint = shortened(self.source.checkpoint) if self.source.checkpoint else 'published in the zoo'
        named = [('Model', f'{shortened(self.source.config)}, {checkpoint}'), ('Trained', self.trained())]
        return facts([*named, ('Base alone', self.meaning_of_base()), *self.more])

    def trained(self) -> str:
        """The method, and how much of the model it trained."""
        from vlpeft.models import count_parameters

        counts = count_parameters(self.inferencer.model)
        share = f'{counts["trainable"]:,} of {counts["total"]:,} parameters ({counts["percent"]:.1f} %)'
        return f'{self.method}: {share}'

    def meaning_of_base(self) -> str:
        """What is switched off, and what is not."""
        method = self.method[:1].upper() + self.method[1:]
        off = f'{method} is switched off, and all else that was trained has the values of the base'
        if not self.inferencer.kept:
            return f'{off}.'
        *others, last = self.inferencer.kept
        kept = f'{", ".join(others)} and {last}' if others else last
        return f'{off}, except for {kept}, which no file of the base holds in full: what was learned there stays.'


def shortened(path: str) -> str:
    """A path without the folders of this machine: as it was given if that was relative, else its end."""
    return f'…/{"/".join(Path(path).parts[-2:])}' if Path(path).is_absolute() else path


def in_one_line(respond: Callable[..., str]) -> Callable[..., str]:
    """An answer that is HTML in any case: where it fails, one line that says why.

    A line that a user can do something about is told as it is, without folders. Anything else goes to the terminal.
    """

    @wraps(respond)
    def answer(*args) -> str:
        try:
            return respond(*args)
        except Exception as error:
            return problem(told(error, [arg for arg in args if isinstance(arg, str) and Path(arg).is_absolute()]))

    return answer


def told(error: Exception, paths: Sequence[str] = ()) -> str:
    """What to say of an error on the page: of every file its name, without the folders of this machine.

    Args:
        error: The error.
        paths: Files that it may name, which may have spaces.
    """
    if isinstance(error, ClipError):
        text, paths = f'{Path(error.path).name}: {error.reason}', [*paths, str(error.path)]
    else:
        text = mistake(error)
    if text is None:
        traceback.print_exception(error)
        return UNEXPECTED
    for path in paths:
        text = text.replace(path, Path(path).name)
    return FOLDERS.sub('', text)
