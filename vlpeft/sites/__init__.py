"""Sites: named places in frozen backbones, and the hooks that reach them. Imports nothing else of vlpeft."""

from .checkpointing import checkpoint_blocks
from .families import FAMILIES, Family, describe, family
from .find import FoundTowers, find_towers
from .hooks import Attachment, Binding, attached_to
from .schema import PERCEPTION, PROMPT_ROWS, Block, Entrance, LinearSite, SiteError, SubLayer, Tap, Tower
from .switch import AdapterSwitch, PerSample
from .targets import Targets
from .weights import bias_rows, is_transposed, numbers_of, weight_rows

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
    'PerSample',
    'SiteError',
    'SubLayer',
    'Tap',
    'Targets',
    'Tower',
    'attached_to',
    'bias_rows',
    'checkpoint_blocks',
    'describe',
    'family',
    'find_towers',
    'is_transposed',
    'numbers_of',
    'weight_rows',
]
