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
from .hyperformer import Hyperformer
from .ia3 import IA3
from .lora import LoRA
from .lst import LST
from .norm_tuning import NormTuning
from .ssf import SSF
from .uniadapter import UniAdapter
from .vera import VeRA
from .vl_pet import VLPET

__all__ = [
    'EPALM',
    'IA3',
    'LST',
    'SSF',
    'VLPET',
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
    'UniAdapter',
    'VeRA',
    'WeightChange',
]
