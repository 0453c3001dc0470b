"""The methods: one file each, opening with its equation and paper."""

from .aurora import Aurora
from .base import Adapter, WeightChange
from .bitfit import BitFit
from .bottleneck import Bottleneck
from .compacter import Compacter
from .composed import ComposedAdapter
from .dora import DoRA
from .epalm import EPALM
from .gate import Gate
from .hf_peft import HFPEFT
from .hyperformer import Hyperformer
from .ia3 import IA3
from .lora import LoRA
from .lst import LST
from .norm_tuning import NormTuning
from .prefix_tuning import PrefixTuning
from .prompt_tuning import PromptTuning
from .ssf import SSF
from .uniadapter import UniAdapter
from .vera import VeRA
from .vl_pet import VLPET
from .vpt import VPT

__all__ = [
    'EPALM',
    'IA3',
    'HFPEFT',
    'LST',
    'SSF',
    'VLPET',
    'VPT',
    'Adapter',
    'Aurora',
    'BitFit',
    'Bottleneck',
    'Compacter',
    'ComposedAdapter',
    'DoRA',
    'Gate',
    'Hyperformer',
    'LoRA',
    'NormTuning',
    'PrefixTuning',
    'PromptTuning',
    'UniAdapter',
    'VeRA',
    'WeightChange',
]
