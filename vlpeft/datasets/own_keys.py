"""Keys of own data: those that are read, those that are passed over, and those that are misspelt."""

import logging
from collections import Counter
from collections.abc import Sequence

from mmengine.logging import print_log

from .text_files import AnnotationError


class OwnKeys:
    """Checks the keys of all records of a file.

    A key that differs from a known one by a single letter (added, left out or another), by two letters that changed
    places, or by upper case, is a mistake. Any other unknown key is what someone needs for something else.

    Args:
        path: The file, for messages.
        known: Keys that are read, in the order messages list them.
    """

    def __init__(self, path: str, known: Sequence[str]) -> None:
        self.path, self.known, self.unread = path, known, Counter()

    def check(self, where: str, record: dict) -> None:
        """Look at one record.

        Raises:
            AnnotationError: A key is a near miss of a known one.
        """
        for key in record:
            if key in self.known:
                continue
            meant = next((known for known in self.known if is_near_miss(key, known)), None)
            if meant is not None:
                raise AnnotationError(
                    f"{where}: unknown key '{key}', is '{meant}' meant? Keys that are read: {', '.join(self.known)}"
                )
            self.unread[key] += 1

    def report(self) -> None:
        """One line in the log on the keys that were passed over."""
        if self.unread:
            counts = ', '.join(f"'{key}' ({count:,})" for key, count in self.unread.most_common(20))
            print_log(
                f'{self.path}: keys that are not read, with the number of records: {counts}; those that are: '
                f'{", ".join(self.known)}',
                logger='current',
                level=logging.INFO,
            )


def is_near_miss(key: str, known: str) -> bool:
    """Whether ``key`` is one slip of the fingers away from ``known``; short keys ('id') have no near misses."""
    key, known = key.casefold(), known.casefold()
    if key == known:
        return True
    if len(known) < 3 or abs(len(key) - len(known)) > 1:
        return False
    if len(key) != len(known):
        short, long = sorted((key, known), key=len)
        return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
    wrong = [at for at, (first, second) in enumerate(zip(key, known)) if first != second]
    if len(wrong) == 2 and wrong[1] == wrong[0] + 1:
        return key[wrong[0]] == known[wrong[1]] and key[wrong[1]] == known[wrong[0]]
    return len(wrong) == 1
