"""What every method promises on every backbone, for authors of plugins: ``check_method`` and ``check_family``.

vlpeft.testing.check_method(dict(type='MyMethod', targets={}))
vlpeft.testing.check_family(Subject(build=MyBackbone, inputs=batch_of, output=lambda out: out))
"""

from .backbones import SUBJECTS
from .check import Cell, check_cell, check_family, check_method
from .subjects import Subject

__all__ = ['SUBJECTS', 'Cell', 'Subject', 'check_cell', 'check_family', 'check_method']
