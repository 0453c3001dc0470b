"""What depends on the version of transformers: 4.57 to 5.x work.

Names and forms that differ are asked of what is there, where they are used; what only the version says is here.
"""

import sys
from functools import cache
from importlib.metadata import version


@cache
def transformers_major() -> int:
    """Major version of transformers, which is not imported for it."""
    return int(version('transformers').partition('.')[0])


def leave_out_multimodal() -> None:
    """Tells mmpretrain that it lacks what its multimodal models need, which do not import with transformers 5.

    mmpretrain asks ``mmpretrain.utils.dependency`` while it is imported; its vision backbones need none of that.
    """
    if transformers_major() >= 5:
        sys.modules['mmpretrain.utils.dependency'].WITH_MULTIMODAL = False
