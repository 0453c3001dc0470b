"""A checkpoint of a run with all that it records, held against what its publisher says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from vlpeft.apis.build import meta_model
from vlpeft.checkpoint import Checkpoint
from vlpeft.engine.config_file import check_plain, read_config
from vlpeft.engine.recorded_config import recorded_config
from vlpeft.engine.run_record import KEY
from vlpeft.models.parameters import count_parameters

from .errors import PublishError

#: Settings of a model that say where something lies, which differs from machine to machine.
PLACES = ('base_checkpoint', 'vocabulary', 'processor', 'model', 'gradient_checkpointing')


@dataclass(frozen=True, eq=False)
class Run:
    """A run, by its checkpoint.

    Attributes:
        checkpoint: It.
        config: Settings of the run; those that the publisher gives where it records none.
        is_recorded: Whether they are the recorded ones.
        model: On the meta device.
        record: Of :func:`~vlpeft.engine.run_record.run_record`; empty in checkpoints of earlier versions.
    """

    checkpoint: Checkpoint
    config: Config
    is_recorded: bool
    model: nn.Module
    record: Mapping[str, Any]

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the checkpoint says of itself."""
        return self.checkpoint.meta

    @property
    def name(self) -> str:
        """Name of the run's config, without folder and suffix; '' where neither run nor publisher say it."""
        told = str(self.meta.get('experiment_name') or '')
        # MMEngine puts the time after it.
        stem, _, rest = told.rpartition('_')
        stem = stem.rpartition('_')[0] if rest.isdigit() else told
        return stem or Path(self.config.filename or '').stem


def read_run(path: str | Path, config: str | None = None, options: Mapping[str, Any] | None = None) -> Run:
    """Reads a checkpoint and builds its model without memory.

    Args:
        path: Checkpoint of a run.
        config: Config file. Defaults to None: what the checkpoint records.
        options: Dotted keys of ``config`` and their values. Defaults to None.

    Raises:
        PublishError: The checkpoint records no config and none is given; or config, method or counts are others than
            it records; or it names a part that is not known here.
        ConfigFileError: What it records is no data.
        CheckpointError, FileNotFoundError: The file is damaged or not there.
    """
    checkpoint = Checkpoint.read(path)
    recorded = recorded_config(checkpoint.meta, str(path)) or {}
    is_recorded = isinstance(recorded.get('model'), dict)
    given = None
    if config is not None:
        given = read_config(config)
        if options:
            from vlpeft.engine.preflight import merge_overrides

            merge_overrides(given, options)
        if is_recorded:
            _check_same(recorded['model'], given.model.to_dict(), f'{config} is not the config of {path}')
    elif not is_recorded:
        raise PublishError(f'{path} records no config of its run; give it with --config')
    else:
        check_plain(dict(model=recorded['model']), str(path))
    settings = Config(recorded) if is_recorded else given
    # Parts of one's own are known once the config that imports them has been read.
    try:
        model = meta_model(settings if given is None else given)
    except KeyError as error:
        raise PublishError(
            f'{path}: {error.args[0]}; if it is a part of your own, give the config that imports it with --config'
        ) from error
    run = Run(checkpoint, settings, is_recorded, model, checkpoint.meta.get(KEY) or {})
    _check_recorded(run, path)
    return run


def _check_recorded(run: Run, path: str | Path) -> None:
    method, counts = run.meta.get('method'), run.record.get('parameters')
    if method is not None and method != run.model.method:
        raise PublishError(f'{path} holds {method}, and its config describes {run.model.method}')
    if counts:
        found = count_parameters(run.model)
        for name, key in (('trained', 'trainable'), ('total', 'total')):
            if counts.get(name) != found[key]:
                raise PublishError(
                    f'{path} records {counts.get(name):,} {name} parameters, and its config describes {found[key]:,}'
                )


def _check_same(recorded: Mapping[str, Any], given: Mapping[str, Any], what: str) -> None:
    for place, ours, theirs in _differences(recorded, given, 'model'):
        raise PublishError(f'{what}: the run had {place}={ours}, the config has {theirs}')


def _differences(ours: Any, theirs: Any, place: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in dict.fromkeys([*ours, *theirs]):
            if place == 'model' and key in PLACES:
                continue
            if key not in ours or key not in theirs:
                yield f'{place}.{key}', *(repr(side[key]) if key in side else 'nothing' for side in (ours, theirs))
            else:
                yield from _differences(ours[key], theirs[key], f'{place}.{key}')
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from _differences(one, other, f'{place}.{number}')
    elif ours != theirs:
        yield place, repr(ours), repr(theirs)
