"""The methods: one file each, opening with its equation and paper."""

from .aurora import Aurora
from .base import Adapter, WeightChange
from .bottleneck import Bottleneck
from .compacter import Compacter
from .composed import ComposedAdapter
from .dora import DoRA
from .epalm import EPALM
from .gate import Gate
from .hyperformer import Hyperformer
from .lora import LoRA
from .lst import LST
from .uniadapter import UniAdapter
from .vera import VeRA
from .vl_pet import VLPET

__all__ = [
    'EPALM',
    'LST',
    'VLPET',
    'Adapter',
    'Aurora',
    'Bottleneck',
    'Compacter',
    'ComposedAdapter',
    'DoRA',
    'Gate',
    'Hyperformer',
    'LoRA',
    'UniAdapter',
    'VeRA',
    'WeightChange',
]
