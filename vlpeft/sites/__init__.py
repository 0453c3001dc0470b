"""Sites: named places in frozen backbones, and the hooks that reach them. Imports nothing else of vlpeft."""

from .arguments import CACHE, argument_name
from .bindings import Binding, parameters_of
from .branches import NormSite, branch_modules, norm_sites
from .calls import Arguments, CallBinding
from .checkpointing import checkpoint_blocks
from .families import CONNECTORS, FAMILIES, Family, connects, describe, family
from .find import FoundTowers, find_towers
from .hooks import Attachment, attached_to
from .paths import below, is_below
from .probe import in_eval_mode, run_alone, shapes_suffice
from .schema import (
    OUTSIDE,
    Block,
    Entrance,
    LinearSite,
    OuterPart,
    Patches,
    SiteError,
    SubLayer,
    Tap,
    Tower,
)
from .switch import AdapterSwitch, PerSample
from .targets import Targets
from .verify import verify
from .weights import bias_rows, gain_offset, has_bias, is_transposed, numbers_of, weight_rows

__all__ = [
    'CACHE',
    'CONNECTORS',
    'FAMILIES',
    'OUTSIDE',
    'AdapterSwitch',
    'Arguments',
    'Attachment',
    'Binding',
    'Block',
    'CallBinding',
    'Entrance',
    'Family',
    'FoundTowers',
    'LinearSite',
    'NormSite',
    'OuterPart',
    'Patches',
    'PerSample',
    'SiteError',
    'SubLayer',
    'Tap',
    'Targets',
    'Tower',
    'argument_name',
    'attached_to',
    'bias_rows',
    'below',
    'branch_modules',
    'checkpoint_blocks',
    'connects',
    'describe',
    'family',
    'find_towers',
    'gain_offset',
    'has_bias',
    'in_eval_mode',
    'is_below',
    'is_transposed',
    'norm_sites',
    'run_alone',
    'numbers_of',
    'parameters_of',
    'shapes_suffice',
    'verify',
    'weight_rows',
]
