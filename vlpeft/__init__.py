"""vlpeft: parameter-efficient adaptation of large vision-language models.

Importing the package registers nothing heavy: each registry imports the room that fills it when a
config first asks for a type.
"""

from . import checkpoint  # noqa: F401  registers the safe globals of MMEngine checkpoints
from .version import __version__

__all__ = ['__version__']
