"""The methods: one file each, opening with its equation and paper."""

from .base import Adapter, WeightChange
from .bottleneck import Bottleneck
from .compacter import Compacter
from .composed import ComposedAdapter
from .epalm import EPALM
from .gate import Gate
from .hyperformer import Hyperformer
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
    'Compacter',
    'ComposedAdapter',
    'Gate',
    'Hyperformer',
    'LoRA',
    'UniAdapter',
    'WeightChange',
]
