"""Transforms of clips: each draws its parameters once and applies them to every frame."""

from .geometry import ClipRandomFlip, ClipRandomResizedCrop, ClipResize
from .load_clip import LoadClip
from .load_features import LoadFeatures
from .load_images import LoadImages
from .pack import PackClip
from .rand_augment import ClipRandAugment
from .seq2seq import ComposeText, DrawTarget, PackText
from .text import CleanQuestion, CleanText, clean_caption, clean_question

__all__ = [
    'CleanQuestion', 'CleanText', 'ClipRandAugment', 'ClipRandomFlip', 'ClipRandomResizedCrop', 'ClipResize',
    'ComposeText', 'DrawTarget', 'LoadClip', 'LoadFeatures', 'LoadImages', 'PackClip', 'PackText', 'clean_caption',
    'clean_question'
]
