"""From the names of a file to ours."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from .checkpoint import Checkpoint
from .dialects import Dialect, detect, get_dialect
from .errors import CheckpointError
from .report import shorten


class Translated(NamedTuple):
    """A checkpoint in our names, its towers called as its layout calls them.

    Attributes:
        checkpoint: What was translated.
        layout: Its layout.
        state: The weights.
        ignored: Reason -> keys of the file that the layout leaves out on purpose.
    """

    checkpoint: Checkpoint
    layout: Dialect
    state: Mapping[str, Tensor]
    ignored: Mapping[str, list[str]]

    @property
    def origin(self) -> str:
        """The file, for messages."""
        return self.checkpoint.origin

    @property
    def towers(self) -> list[str]:
        """Names by which keys of towers begin."""
        return [self.layout.tower] if self.layout.tower else list(self.layout.towers)


def translate(checkpoint: Checkpoint, dialect: str | None = None, keys: Collection[str] = ()) -> Translated:
    """Translates a checkpoint.

    Args:
        checkpoint: The checkpoint.
        dialect: Its layout. Defaults to None: told from the keys.
        keys: Of the model that it is read for; they tell by which library's names its towers are called. Defaults to
            (), ours.

    Raises:
        CheckpointError: Unknown layout, or not the one that is named; or a tensor that the layout needs is not there.
    """
    weights, origin = checkpoint.weights, checkpoint.origin
    layout = get_dialect(dialect) if dialect else detect(weights, origin)
    if dialect and not layout.matches(weights):
        raise CheckpointError(f'{origin} is not in the {dialect} layout; its first keys: {shorten(list(weights))}')
    layout = layout.for_model(keys)
    try:
        state = layout.to_vlpeft(weights)
    except KeyError as error:
        raise CheckpointError(f'{origin} ({layout.name} layout) lacks the key {error}') from error
    if layout.tower:
        state = {f'{layout.tower}.{key}': value for key, value in state.items()}
    return Translated(checkpoint, layout, state, layout.ignored_keys(weights))
