"""Parameters with several names: the first one counts, and a file may hold any of them, with one value."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from .errors import CheckpointError


def tied_names(model: nn.Module) -> dict[str, str]:
    """Every further name of a tied parameter -> its first name."""
    first = {id(param): name for name, param in model.named_parameters()}
    return {
        name: first[id(param)]
        for name, param in model.named_parameters(remove_duplicate=False)
        if name != first[id(param)]
    }


def unique_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict with every tied parameter under its first name only."""
    tied = tied_names(model)
    return {key: value for key, value in model.state_dict().items() if key not in tied}


def join_tied(source: Mapping[str, Tensor], tied: Mapping[str, str], origin: str) -> dict[str, Tensor]:
    """Weights of a checkpoint, in our keys, with tied ones under their first name.

    Args:
        source: The weights.
        tied: :func:`tied_names` of the model.
        origin: Name of the checkpoint in messages.

    Raises:
        CheckpointError: Two names of one parameter of the model hold different values.
    """
    joined = {key: value for key, value in source.items() if key not in tied}
    for name, first in tied.items():
        if name in source and not torch.equal(joined.setdefault(first, source[name]), source[name]):
            raise CheckpointError(
                f'{origin}: {first} and {name} are one tensor in the model, but their values in the '
                'file differ; a model with tie_word_embeddings=False keeps both'
            )
    return joined


def without_shared(state: Mapping[str, Tensor], table: str, keys: Iterable[str]) -> dict[str, Tensor]:
    """``state`` without those of ``keys`` that are the very memory of ``table``.

    A tensor that holds the same values only is kept: a model whose head is not tied has to find it.
    """
    shared = {key for key in keys if key in state and state[key].data_ptr() == state[table].data_ptr()}
    return {key: value for key, value in state.items() if key not in shared}
