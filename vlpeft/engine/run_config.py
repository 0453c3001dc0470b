"""A config whose text is formatted once: MMEngine formats it anew for every log and checkpoint, seconds each time."""

import functools

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from .config_file import read_config

STYLE = dict(based_on_style='pep8', column_limit=120)


@functools.lru_cache(maxsize=4)
def _formatted(text: str) -> str:
    return FormatCode(text, style_config=STYLE)[0]


class RunConfig(Config):
    """MMEngine's ``Config``, but for :attr:`pretty_text`."""

    @classmethod
    def read(cls, path: str) -> 'RunConfig':
        """Reads a config file. Errors: those of :func:`~vlpeft.engine.config_file.read_config`."""
        cfg = read_config(path)
        return cls(
            cfg.to_dict(),
            cfg_text=cfg.text,
            filename=cfg.filename,
            env_variables=cfg.env_variables,
            format_python_code=False,
        )

    @property
    def pretty_text(self) -> str:
        """The config as Python, formatted."""
        return _formatted(super().pretty_text)
