"""The methods: one file each, opening with its equation and paper."""

from .base import Adapter
from .bottleneck import Bottleneck
from .composed import ComposedAdapter
from .gate import Gate
from .lora import LoRA
from .uniadapter import UniAdapter
from .vl_pet import VLPET

__all__ = ['VLPET', 'Adapter', 'Bottleneck', 'ComposedAdapter', 'Gate', 'LoRA', 'UniAdapter']
