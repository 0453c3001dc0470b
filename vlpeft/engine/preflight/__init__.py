"""What is checked before a run starts anything heavy: overrides, types and arguments, the model's shapes, files.

Every problem that is found is told at once, with its place in the config and the nearest valid name.
"""

from .errors import ConfigError
from .overrides import merge_overrides
from .resume import finished_run
from .run import base_sources, check_parts, check_run

__all__ = ['ConfigError', 'base_sources', 'check_run', 'check_parts', 'finished_run', 'merge_overrides']
