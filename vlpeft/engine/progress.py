"""How far a long piece of work is: a bar on a terminal; elsewhere a line now and then, without control characters."""

import functools
import time
from datetime import timedelta

from mmengine.dist import is_main_process
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Seconds between two lines where no bar can be drawn, and between two changes of a bar.
LINE_EVERY, BAR_EVERY = 30.0, 0.2


@functools.cache
def stream_console(on_error: bool = False) -> Console:
    """A console of standard output, or of standard error.

    Not rich's own: it is made in the middle of mmpretrain's import, without standard output, and draws no bars. In
    Jupyter it writes plain lines: rich would show each as a piece of HTML, and need ipywidgets for bars.
    """
    console = Console(stderr=on_error)
    return Console(stderr=on_error, force_jupyter=False, force_terminal=False) if console.is_jupyter else console


def say(text: str, style: str | None = None, on_error: bool = False) -> None:
    """Prints a line as it is, above a bar if there is one; ``style`` is a colour for terminals. ``on_error`` is for
    standard error.
    """
    stream_console(on_error).out(text, style=style, highlight=False)


def draws_bars(on_error: bool = False) -> bool:
    """Whether standard output, or standard error, is a terminal that can draw over what it has drawn."""
    console = stream_console(on_error)
    return console.is_terminal and not console.is_dumb_terminal


def clock(seconds: float) -> str:
    """``0:01:07`` of 67.3 seconds."""
    return str(timedelta(seconds=round(seconds)))


class Steps:
    """A piece of work of so many steps; used in a ``with`` block. Only the first process draws or prints.

    Args:
        label: What is done.
        total: Number of steps.
        done: Of these, those that were done before. Defaults to 0.
        on_error: Whether to show them on standard error, where standard output is for results. Defaults to False.
    """

    def __init__(self, label: str, total: int, done: int = 0, on_error: bool = False) -> None:
        self.label, self.total, self.done, self.before, self.on_error = label, total, done, done, on_error
        self.speaks = is_main_process()
        self.bar = self._bar() if self.speaks and draws_bars(on_error) else None
        self.begun = self.told = time.monotonic()

    def _bar(self) -> Progress:
        # Loader workers that are forked while the bar is drawn must not inherit its streams, whose lock may be held.
        return Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('ETA'),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
            console=stream_console(self.on_error),
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )

    def __enter__(self) -> 'Steps':
        if self.bar is not None:
            self.task = self.bar.add_task(self.label, total=self.total, completed=self.done, note='')
            self.bar.start()
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, count: int = 1) -> bool:
        """Counts steps.

        Returns:
            Whether it is time to :meth:`show` them.
        """
        self.done += count
        every = LINE_EVERY if self.bar is None else BAR_EVERY
        return self.speaks and time.monotonic() - self.told >= every

    def show(self, note: str = '') -> None:
        """Shows how far the work is, with a remark."""
        now = self.told = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, note=note)
        else:
            left = (now - self.begun) / max(1, self.done - self.before) * (self.total - self.done)
            say(
                f'{self.label}  {self.done}/{self.total}  ETA {clock(left)}' + f'  {note}' * bool(note),
                None,
                self.on_error,
            )

    def step(self, count: int = 1) -> None:
        """Counts steps and shows them when it is time."""
        if self.advance(count):
            self.show()
