"""The methods: one file each, opening with its equation and paper."""

from .base import Adapter, WeightChange
from .bottleneck import Bottleneck
from .composed import ComposedAdapter
from .epalm import EPALM
from .gate import Gate
from .lora import LoRA
from .lst import LST
from .uniadapter import UniAdapter
from .vl_pet import VLPET

__all__ = [
    'EPALM',
    'LST',
    'VLPET',
    'Adapter',
    'Bottleneck',
    'ComposedAdapter',
    'Gate',
    'LoRA',
    'UniAdapter',
    'WeightChange',
]
