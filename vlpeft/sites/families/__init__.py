"""Families: for each backbone class, a function that says where its sites live."""

from typing import Callable, Dict

from torch import nn

from ..schema import SiteError, Tower
from .blip_text import blip_text
from .mmpretrain_vit import mmpretrain_vit

FAMILIES: Dict[str, Callable[[nn.Module, str], Tower]] = {
    'VisionTransformer': mmpretrain_vit,
    'BlipTextEncoder': blip_text,
}


def describe(module: nn.Module, name: str) -> Tower:
    """The tower of a backbone, by the names of its classes.

    Args:
        module: The backbone.
        name: The tower's name in the model, such as ``'vision'``.

    Raises:
        SiteError: No family describes this class.
    """
    for cls in type(module).__mro__:
        if cls.__name__ in FAMILIES:
            return FAMILIES[cls.__name__](module, name)
    raise SiteError(f'no family describes the backbone {type(module).__name__}; there are: {", ".join(FAMILIES)}')
