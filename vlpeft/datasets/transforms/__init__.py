"""Transforms of clips, each drawing its parameters once for all frames, and of sounds and texts."""

from .fbank import Fbank, NormaliseFbank
from .geometry import ClipRandomFlip, ClipRandomResizedCrop, ClipResize
from .load_audio import LoadAudio
from .load_clip import LoadClip
from .load_features import LoadFeatures
from .load_images import LoadImages
from .pack import PackSample
from .pack_chat import PackChat
from .rand_augment import ClipRandAugment, ClipTorchvisionRandAugment
from .seq2seq import ComposeText, DrawTarget
from .spec_augment import SpecAugment
from .text import CleanQuestion, CleanText, clean_caption, clean_question
from .to_chat import ToChat

__all__ = [
    'CleanQuestion',
    'CleanText',
    'ClipRandAugment',
    'ClipRandomFlip',
    'ClipRandomResizedCrop',
    'ClipResize',
    'ClipTorchvisionRandAugment',
    'ComposeText',
    'DrawTarget',
    'Fbank',
    'LoadAudio',
    'LoadClip',
    'LoadFeatures',
    'LoadImages',
    'NormaliseFbank',
    'PackChat',
    'PackSample',
    'SpecAugment',
    'ToChat',
    'clean_caption',
    'clean_question',
]
