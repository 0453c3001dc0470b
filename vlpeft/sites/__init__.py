"""The ground floor: places in frozen backbones, and the hooks that reach them. Imports nothing else of vlpeft."""

from .checkpointing import checkpoint_blocks
from .families import FAMILIES, describe
from .hooks import Attachment, Binding
from .schema import Block, LinearSite, SiteError, SubLayer, Tap, Tower
from .switch import AdapterSwitch
from .targets import Targets

__all__ = [
    'FAMILIES', 'AdapterSwitch', 'Attachment', 'Binding', 'Block', 'LinearSite', 'SiteError', 'SubLayer', 'Tap',
    'Targets', 'Tower', 'checkpoint_blocks', 'describe'
]
