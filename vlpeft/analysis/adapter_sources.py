"""A trained method with its towers, of a run or of an adapter folder, with its base or without."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from vlpeft.adaptation.sets import build_adapter
from vlpeft.adapters import Adapter
from vlpeft.apis.build import build_model, empty_model, find_trained, load_model_config
from vlpeft.apis.export import from_folders
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.translate import translate
from vlpeft.sites import Tower

PREFIX = 'adapter.'


class TrainedMethod(NamedTuple):
    """A method (None where parts of a model train alone), the towers by name, whether these have the weights of the
    base, and the task model if there is one.
    """

    adapter: Adapter | None
    towers: Mapping[str, Tower]
    has_base: bool
    model: nn.Module | None


def of_run(config: str, checkpoint: str, overrides: Mapping[str, Any], with_base: bool) -> TrainedMethod:
    """Of a checkpoint of a config.

    Args:
        config: Config file.
        checkpoint: File or URL.
        overrides: Settings of ``model``.
        with_base: Whether the base is loaded; without it the backbones have shapes alone.

    Raises:
        CheckpointError: The file lacks parameters of the method, or has others.
    """
    if with_base:
        cfg, entry = load_model_config(config, overrides)
        model = build_model(cfg, find_trained(config, entry, checkpoint), True, 'cpu')
        return TrainedMethod(model.adapter, model.towers, True, model)
    options = {f'model.{key}': value for key, value in overrides.items()}
    model = empty_model(config, options)
    settings = load_model_config(config, overrides)[0].model.get('adapter')
    if settings is None:
        return TrainedMethod(None, model.towers, False, None)
    adapter = build_adapter(settings, model.towers)
    file = Checkpoint.read(fetch(checkpoint))
    state = {key.removeprefix(PREFIX): value for key, value in translate(file).state.items() if key.startswith(PREFIX)}
    wanted = adapter.state_dict()
    if wrong := sorted(wanted.keys() ^ state.keys()) or [
        key for key in wanted if wanted[key].shape != state[key].shape
    ]:
        raise CheckpointError(
            f'{checkpoint}: does not fit the method of {config}: {len(wrong)} parameters, such as {wrong[0]}'
        )
    adapter.load_state_dict(state)
    return TrainedMethod(adapter, model.towers, False, None)


def of_folder(model: str, folder: str) -> TrainedMethod:
    """Of an adapter folder. Arguments and errors: :func:`vlpeft.apis.export.from_folders`."""
    trained = from_folders(model, folder)
    return TrainedMethod(trained.adapter, trained.towers, True, None)
