"""The account of clips that could not be read: what, why, how many, and when it is too many."""

import logging

from mmengine.logging import print_log

from .readers import ClipError

# A fixed allowance on top of the rate: with the rate alone, one bad clip in the first batch would end a run.
ALLOWANCE = 4
MAX_ATTEMPTS = 10


class UnreadableClipsError(RuntimeError):
    """More samples had to be replaced than the dataset allows."""


class UnreadableClips:
    """Counts replaced samples of one process (each loader worker counts its own from its start) and lists the clips.

    Args:
        max_rate: Share of the fetched samples that may be replaced, above an allowance of 4 samples; 0 allows none.

    Attributes:
        reasons: Reason by path.
        fetched (int): Samples asked for.
        replaced (int): Samples that had to be replaced.
    """

    def __init__(self, max_rate: float) -> None:
        if not 0 <= max_rate <= 1:
            raise ValueError(f'max_unreadable must lie in [0, 1], got {max_rate}')
        self.max_rate = max_rate
        self.reasons: dict[str, str] = {}
        self.fetched = 0
        self.replaced = 0

    def note(self, error: ClipError) -> None:
        """List a clip; it is logged the first time."""
        if error.path not in self.reasons:
            self.reasons[error.path] = error.reason
            print_log(f'unreadable clip {error.path}: {error.reason}', logger='current', level=logging.WARNING)

    def count_replaced(self) -> None:
        """Count a sample that is about to be replaced.

        Raises:
            UnreadableClipsError: That is one too many.
        """
        self.replaced += 1
        if self.replaced > (self.max_rate > 0) * ALLOWANCE + self.max_rate * self.fetched:
            raise UnreadableClipsError(self._report())

    def _report(self) -> str:
        listed = [f'  {path}: {reason}' for path, reason in list(self.reasons.items())[:10]]
        more = [f'  … and {len(self.reasons) - 10} more'] if len(self.reasons) > 10 else []
        head = (
            f'{self.replaced} of {self.fetched} samples were unreadable in this process, more than '
            f'max_unreadable={self.max_rate} allows; repair or remove these clips, or raise max_unreadable:'
        )
        return '\n'.join([head, *listed, *more])
