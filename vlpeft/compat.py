"""What depends on the version of transformers: 4.57 to 5.x work.

Names and forms that differ are asked of what is there, where they are used; what only the version says is here.
"""

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec


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


def add_clips_resnet() -> None:
    """Takes CLIP's ``ModifiedResNet`` into mmpretrain's registry where :func:`leave_out_multimodal` left it out.

    It lies among the multimodal models, in a file that imports none of them; the package around it does.
    """
    from mmpretrain.registry import MODELS

    if transformers_major() < 5 or 'ModifiedResNet' in MODELS:
        return
    package = 'mmpretrain.models.multimodal.chinese_clip'
    sys.modules[package] = module_from_spec(find_spec(package))
    # The file brings the model of which a placeholder has the name.
    MODELS.module_dict.pop('ChineseCLIP')
    import_module(f'{package}.chinese_clip')
