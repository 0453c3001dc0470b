"""Sites: named places in frozen backbones, and the hooks that reach them. Imports nothing else of vlpeft."""

from .checkpointing import checkpoint_blocks
from .families import FAMILIES, Family, describe, family
from .find import FoundTowers, find_towers
from .hooks import Attachment, Binding
from .schema import PERCEPTION, PROMPT_ROWS, Block, Entrance, LinearSite, SiteError, SubLayer, Tap, Tower
from .switch import AdapterSwitch
from .targets import Targets

__all__ = [
    'FAMILIES',
    'PERCEPTION',
    'PROMPT_ROWS',
    'AdapterSwitch',
    'Attachment',
    'Binding',
    'Block',
    'Entrance',
    'Family',
    'FoundTowers',
    'LinearSite',
    'SiteError',
    'SubLayer',
    'Tap',
    'Targets',
    'Tower',
    'checkpoint_blocks',
    'describe',
    'family',
    'find_towers',
]
