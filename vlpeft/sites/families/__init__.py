"""Families: for each backbone class, a function that says where its sites live."""

from collections.abc import Callable

from torch import nn

from ..schema import SiteError, Tower
from .bart import bart
from .blip_text import blip_text, blip_text_decoder
from .clip_text import clip_text
from .gpt2 import gpt2
from .llama import llama
from .mmpretrain_beit import mmpretrain_beit
from .mmpretrain_eva02 import mmpretrain_eva02
from .mmpretrain_vit import mmpretrain_vit
from .opt import opt
from .t5 import t5
from .timesformer import timesformer

FAMILIES: dict[str, Callable[[nn.Module, str], Tower]] = {
    'VisionTransformer': mmpretrain_vit,
    'BEiTViT': mmpretrain_beit,
    'ViTEVA02': mmpretrain_eva02,
    'TimeSformer': timesformer,
    'BlipTextEncoder': blip_text,
    'BlipTextDecoder': blip_text_decoder,
    'ClipTextEncoder': clip_text,
    'BartEncoder': bart,
    'BartDecoder': bart,
    'T5Stack': t5,
    'OPTForCausalLM': opt,
    'GPT2LMHeadModel': gpt2,
    'LlamaForCausalLM': llama,
}


def describe(module: nn.Module, name: str) -> Tower:
    """The tower of a backbone, by the names of its class and, where that is unknown, of its base classes.

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
