"""Transforms of clips: each draws its parameters once and applies them to every frame."""

from .geometry import ClipRandomFlip, ClipRandomResizedCrop, ClipResize
from .load_clip import LoadClip
from .pack import PackClip
from .rand_augment import ClipRandAugment
from .text import CleanQuestion, CleanText, clean_caption, clean_question

__all__ = [
    'CleanQuestion', 'CleanText', 'ClipRandAugment', 'ClipRandomFlip', 'ClipRandomResizedCrop', 'ClipResize',
    'LoadClip', 'PackClip', 'clean_caption', 'clean_question'
]
