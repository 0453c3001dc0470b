"""What is looked at and told before a method is put on towers."""

import logging

from mmengine.logging import print_log

from vlpeft.sites import FoundTowers


def tell(towers: FoundTowers) -> None:
    """Verifies towers whose classes are new, and logs what their user should know, a line each.

    Raises:
        SiteError: The description of one does not fit its code.
    """
    for line in towers.verify():
        print_log(line, 'current', level=logging.WARNING)
