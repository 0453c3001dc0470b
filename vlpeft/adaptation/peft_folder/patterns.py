"""Regular expressions that come with a folder of others: they mean what they mean to peft, and end.

Python's ``re``, which peft uses, may take longer than anyone waits for a short expression on a short name, and nothing
stops it. The package ``regex`` reads the same expressions, and stops after a given time.
"""

import re
import time
from functools import cached_property

#: Processor time that all patterns of a folder have together. Those that peft writes take milliseconds; a rank of its
#: own for each of the 700 maps of a model of a hundred blocks, some seconds.
SECONDS = 20.0
#: Of one pattern. One that lists the maps of a model of a hundred blocks has about 40,000.
LONGEST = 200_000
#: What ``regex`` reads otherwise than ``re``: classes like ``[[:alpha:]]`` and approximate matches like ``{e<=1}``.
_ELSEWHERE = re.compile(r'\[:|\{(?!\d*,?\d*\})')


class PatternError(ValueError):
    """A pattern that is not read; the message says why."""


class Patterns:
    """Matches names against patterns, within one time for all of them."""

    def __init__(self) -> None:
        self.left, self.compiled = SECONDS, {}

    @cached_property
    def _engine(self):
        import regex

        return regex

    def match(self, pattern: str, name: str, whole: bool = False) -> re.Match | None:
        """What ``re.match(pattern, name)`` returns; ``re.fullmatch`` of the ``whole`` name.

        Raises:
            PatternError: It is no regular expression, too long or of another dialect, or the time is over.
        """
        if pattern not in self.compiled:
            self.compiled[pattern] = self._compile(pattern)
        compiled, begin = self.compiled[pattern], time.thread_time()
        try:
            return (compiled.fullmatch if whole else compiled.match)(name, timeout=max(self.left, 1e-3))
        except TimeoutError:
            raise PatternError(
                f'matching it takes too long, as nested or repeated choices do (the patterns of a folder have '
                f'{SECONDS:g} s together); a list of module names says the same'
            ) from None
        finally:
            self.left -= time.thread_time() - begin

    def _compile(self, pattern: str):
        if len(pattern) > LONGEST:
            raise PatternError(f'it has {len(pattern):,} characters, at most {LONGEST:,} are read')
        if found := _ELSEWHERE.search(pattern):
            raise PatternError(
                f'{found.group()!r} means something else elsewhere; in a pattern of names it is not read'
            )
        try:
            re.compile(pattern)
            return self._engine.compile(pattern)
        except (re.error, self._engine.error, RecursionError, OverflowError) as error:
            raise PatternError(f'{pattern!r:.100} is no regular expression ({error})') from None
