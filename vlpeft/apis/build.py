"""A model by name: its config from the zoo, its weights from the cache or the network."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from vlpeft.bases import read_bases
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.coverage import warn_of_random_parts
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.trained import load_trained
from vlpeft.engine.config_file import read_config
from vlpeft.registry import MODELS, SCOPE
from vlpeft.zoo.config_names import find_config
from vlpeft.zoo.folder import ZooError
from vlpeft.zoo.model_index import ZooModel, read_zoo

from .device import usable_device
from .hub_folder import check_base_is_there, is_hub_folder, read_hub_folder, trained_file

BASE_ONLY = 'base'


def get_model(
    name: str | Path, pretrained: bool | str | Path | None = None, device: str = 'cpu', **overrides
) -> nn.Module:
    """Builds a model of the zoo, of a config file or of a published folder, in eval mode.

    Args:
        name: Name in the zoo (``list_models``), path of a config file, path below the zoo's configs, or a folder that
            ``vlpeft publish --hub-folder`` wrote.
        pretrained: What to load. False: nothing, all weights are random. True: the base and the trained parts that the
            zoo publishes, or that the folder holds. A path or URL: the base and the trained parts in this file. 'base':
            the base alone. Defaults to None: True for a folder, else False.
        device: Where the model goes. Defaults to 'cpu'.
        **overrides: Settings of the config's ``model``, merged into it: ``adapter=dict(bottleneck=64)``,
            ``base_checkpoint=dict(source='model_base.pth')``.

    Returns:
        The model.

    Raises:
        ValueError: There is no such device.
        ZooError: Unknown name (the message lists similar ones), or no published weights.
        FileNotFoundError: There is no such config or checkpoint file.
        CheckpointError: A file is damaged, does not fit, was trained on another base, or lacks trained parts.
    """
    usable_device(device)
    if pretrained is None:
        pretrained = is_hub_folder(name)
    cfg, entry = load_model_config(name, overrides, pretrained is not False)
    return build_model(cfg, find_trained(name, entry, pretrained), pretrained is not False, device)


def load_model_config(
    name: str | Path, overrides: Mapping[str, Any], with_base: bool = True
) -> tuple[Config, ZooModel | None]:
    """The config behind a name, and its entry in the zoo.

    Args:
        name: What :func:`~vlpeft.zoo.config_names.find_config` understands, or a published folder, which is checked.
        overrides: Settings of ``model``.
        with_base: Whether the base will be loaded: that of a published folder may be a file which is not here. Defaults
            to True.

    Returns:
        The whole config, with the known hashes of its bases; the entry, or None for a config of one's own.

    Raises:
        ZooError: Unknown name; the message lists similar ones.
        ConfigError: A type or argument of ``model`` that there is not.
        CheckpointError: A file of a published folder has changed.
        FileNotFoundError: It names a base that is not here.
    """
    if is_hub_folder(name):
        cfg, entry = read_hub_folder(name), None
    else:
        path = find_config(name)
        entry = next((model for model in read_zoo().values() if model.config.samefile(path)), None)
        cfg = read_config(path)
    # It imports what a config may name, which reading one does not need.
    from vlpeft.engine.preflight import check_parts, merge_overrides

    if overrides:
        merge_overrides(cfg, {f'model.{key}': value for key, value in overrides.items()}, str(name))
    check_parts(cfg, 'model')
    if with_base and is_hub_folder(name):
        check_base_is_there(cfg, Path(name))
    _add_known_hashes(cfg.model.get('base_checkpoint') or {}, {base.url: base.sha256 for base in read_bases().values()})
    return cfg, entry


def _add_known_hashes(base: Mapping[str, Any], known: Mapping[str, str | None]) -> None:
    for record in (base, *(value for value in base.values() if isinstance(value, dict))):
        if known.get(record.get('source')):
            record.setdefault('sha256', known[record['source']])


def find_trained(name: str | Path, entry: ZooModel | None, pretrained: bool | str | Path) -> Path | None:
    """The local file of the trained parts, downloaded if need be. Arguments and errors: :func:`get_model`.

    Returns:
        None if no trained parts are asked for.
    """
    if pretrained is False or pretrained == BASE_ONLY:
        return None
    if pretrained is not True:
        return trained_at(pretrained)
    if is_hub_folder(name):
        return trained_file(name)
    if entry is None or entry.weights is None:
        raise ZooError(
            f'no trained weights are published for {name}; give the path or URL of a checkpoint, '
            f'{BASE_ONLY!r} for the base without trained parts, or False for random weights'
        )
    return fetch(entry.weights.url, sha256=entry.weights.sha256)


def trained_at(place: str | Path) -> Path:
    """The local file of the trained parts behind a path, a URL or a published folder, which is checked.

    Raises:
        FileNotFoundError, CheckpointError: As :func:`get_model`.
    """
    if is_hub_folder(place):
        read_hub_folder(place)
        return trained_file(place)
    return fetch(place)


def build_model(cfg: Config, trained: Path | None, with_base: bool, device: str) -> nn.Module:
    """Builds ``cfg.model`` in eval mode.

    Args:
        cfg: Whole config.
        trained: Checkpoint of the trained parts.
        with_base: Whether the base is loaded.
        device: Where the model goes.

    Raises:
        ZooError: The base alone is asked for, and the config names none.
        CheckpointError: As :func:`get_model`.
    """
    if not with_base:
        cfg.model.base_checkpoint = None
    elif trained is None and cfg.model.get('base_checkpoint') is None:
        raise ZooError(f'{cfg.filename} names no base (model.base_checkpoint), so there is nothing to load')
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = MODELS.build(cfg.model)
    if trained is not None:
        load_trained(model, Checkpoint.read(trained))
    if with_base:
        warn_of_random_parts(model)
    model.to(device)
    model.eval()
    return model


def empty_model(config: str | Path, options: Mapping[str, Any] | None = None) -> nn.Module:
    """The model of a config file on the meta device: keys, shapes and what trains, but no weights and no memory.

    Args:
        config: Config file.
        options: Dotted keys of the config and their values. Defaults to None.

    Raises:
        ConfigError: An override would change nothing, or does not fit.
    """
    cfg = read_config(config)
    if options:
        from vlpeft.engine.preflight import merge_overrides

        merge_overrides(cfg, options)
    return meta_model(cfg)


def meta_model(cfg: Config) -> nn.Module:
    """The model of a config on the meta device, as :func:`empty_model`.

    Args:
        cfg: Whole config, which stays as it is.
    """
    settings = copy.deepcopy(cfg.model)
    settings.base_checkpoint = None
    with DefaultScope.overwrite_default_scope(SCOPE), torch.device('meta'):
        return MODELS.build(settings)
