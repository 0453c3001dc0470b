"""What all inferencers share: a model by name, its device and number format, and its adapters by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import Tensor

from vlpeft.checkpoint.coverage import warn_of_random_parts
from vlpeft.models.tasks import ImageTextLM
from vlpeft.registry import MODELS, SCOPE
from vlpeft.zoo.folder import ZooError
from vlpeft.zoo.model_index import ZooModel

from .build import BASE_ONLY, find_trained, load_model_config, trained_at
from .device import usable_device
from .media_files import PathLike
from .named_adapters import NamedAdapters
from .number_formats import usable_dtype

#: Name of the checkpoint that is given without one.
DEFAULT_NAME = 'default'


class AdaptedInferencer:
    """A model of a config with its checkpoint, ready to answer.

    It follows the conventions of MMEngine's ``BaseInferencer`` (``preprocess``, ``forward``, ``postprocess`` and a call
    that runs them over batches), but for reading weights, which :mod:`vlpeft.checkpoint` does.

    Args:
        model: Name in the zoo, or path of a config file.
        checkpoint: Path or URL of the trained parts; 'base' for the base alone. Defaults to None: what the zoo
            publishes for the model, or nothing where ``adapters`` are given.
        device: Defaults to None, the GPU if there is one, else the CPU.
        dtype: 'float32', 'bfloat16' or 'float16': of all weights, and of what is computed; pixels are normalised in
            float32 first. Of a model of transformers (``ImageTextLM``) it is the config's ``dtype``. Defaults to None,
            as the config says.
        adapters: Checkpoints by name, see :meth:`add_adapter`; ``checkpoint`` is then the one named 'default'. Defaults
            to None.
        **overrides: Settings of the config's ``model``, as for :func:`vlpeft.get_model`.

    Raises:
        ValueError: There is no such device or number format; or the config's model does another task.
        ZooError, FileNotFoundError, CheckpointError: As :func:`vlpeft.get_model`.
    """

    #: Keyword arguments of a subclass, which :meth:`read_config` gets where they are given.
    own_options: tuple[str, ...] = ()

    def __init__(
        self,
        model: PathLike,
        checkpoint: PathLike | None = None,
        device: str | None = None,
        dtype: str | None = None,
        adapters: Mapping[str, PathLike] | None = None,
        **overrides: Any,
    ) -> None:
        self.device = usable_device(device or get_device())
        self.dtype = usable_dtype(dtype)
        adapters = dict(adapters or {})
        if DEFAULT_NAME in adapters and checkpoint not in (None, BASE_ONLY):
            raise ValueError(f'adapters names {DEFAULT_NAME!r}, which is the checkpoint; choose another name')
        own = {name: overrides.pop(name) for name in self.own_options if name in overrides}
        cfg, entry = self.load_config(model, overrides)
        self.read_config(cfg, str(model), **own)
        if checkpoint is None and adapters:
            trained = None
        else:
            trained = self.find_checkpoint(model, entry, checkpoint)
        # All files are looked for before any weights are read.
        files = {**({} if trained is None else {DEFAULT_NAME: trained})}
        files.update({name: self.find_file(path) for name, path in adapters.items()})
        if not files and cfg.model.get('base_checkpoint') is None:
            raise ZooError(f'{cfg.filename} names no base (model.base_checkpoint), so there is nothing to load')
        self.model = self.build(cfg)
        self._adapters = self.make_adapters(cfg, checkpoint == BASE_ONLY)
        for name, path in files.items():
            self._adapters.add(name, path)
        warn_of_random_parts(self.model)

    def load_config(self, model: PathLike, overrides: Mapping[str, Any]) -> tuple[Config, ZooModel | None]:
        """The config behind the name of a model, and its entry in the zoo. Errors: see the class."""
        return load_model_config(model, overrides)

    def find_checkpoint(self, model: PathLike, entry: ZooModel | None, checkpoint: PathLike | None) -> Path | None:
        """The local file of the first checkpoint; None for the base alone. Errors: see the class."""
        return find_trained(model, entry, True if checkpoint is None else checkpoint)

    def find_file(self, path: PathLike) -> Path:
        """The local file of a further checkpoint. Errors: see the class."""
        return trained_at(path)

    def make_adapters(self, cfg: Config, base_first: bool) -> NamedAdapters:
        """What switches the checkpoints of the built model."""
        return NamedAdapters(self.model, bool(cfg.model.get('quantization')), base_first)

    def read_config(self, cfg: Config, name: str, **own: Any) -> None:
        """Takes from the config what the task needs, before the model is built; ``own`` are :attr:`own_options`.

        Raises:
            ValueError: It is of another task.
        """
        raise NotImplementedError

    def build(self, cfg: Config) -> torch.nn.Module:
        """The model with its base, in eval mode."""
        own_format = issubclass(MODELS.get(cfg.model.type), ImageTextLM)
        if self.dtype is not None and own_format:
            cfg.model.dtype = str(self.dtype).removeprefix('torch.')
        with DefaultScope.overwrite_default_scope(SCOPE):
            model = MODELS.build(cfg.model)
        if self.dtype is not None and not own_format:
            model.to(self.dtype)
            model.data_preprocessor.float()
        model.to(self.device)
        return model.eval()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the checkpoints."""
        return self._adapters.names

    @property
    def kept(self) -> tuple[str, ...]:
        """Parts that no file of the base holds, which keep their trained values when adapters are switched off."""
        return self._adapters.kept

    def add_adapter(self, name: str, checkpoint: PathLike) -> None:
        """Reads a further checkpoint of the same config; a call with ``adapter=name`` runs it.

        Args:
            name: Any text but 'base'.
            checkpoint: Path or URL, or a folder that ``vlpeft publish --hub-folder`` wrote.

        Raises:
            ValueError: The name is taken; or the base is quantised.
            FileNotFoundError, CheckpointError: As :func:`vlpeft.get_model`; nothing has changed then.
        """
        self._adapters.add(name, self.find_file(checkpoint))

    def _chosen(self, adapter: Any) -> str | None:
        """The adapter of a call, whose argument is ``...`` where none was given."""
        name = self._adapters.default if adapter is ... else adapter
        self._adapters.check(name)
        return name

    def _in_format(self, inputs: Any) -> Any:
        """Normalised inputs in the number format of the weights."""
        if self.dtype is None or not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            return inputs
        return inputs.to(self.dtype)
