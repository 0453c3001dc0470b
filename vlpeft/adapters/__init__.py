"""The methods: one file each, opening with its equation and paper."""

from .base import Adapter
from .composed import ComposedAdapter
from .lora import LoRA
from .uniadapter import UniAdapter

__all__ = ['Adapter', 'ComposedAdapter', 'LoRA', 'UniAdapter']
