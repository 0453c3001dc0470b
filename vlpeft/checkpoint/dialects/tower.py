"""A layout of one tower, whose keys it names: it does not know where in a model the tower is."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .base import RenamingDialect


class TowerDialect(RenamingDialect):
    """One tower after a prefix, the same tensors under other names."""

    tower = 'vision'
    #: With which all foreign keys of the tower begin.
    prefix: str = ''

    def prefix_of(self, weights: Mapping[str, Tensor]) -> str:
        """The prefix in a file that is read, where it differs from file to file."""
        return self.prefix

    def ignored_keys(self, weights: Mapping[str, Tensor]) -> dict[str, list[str]]:
        """Reason -> foreign keys that ``to_vlpeft`` leaves out, those outside of the tower among them."""
        found, prefix = super().ignored_keys(weights), self.prefix_of(weights)
        listed = {key for keys in found.values() for key in keys}
        if outside := [key for key in weights if not key.startswith(prefix) and key not in listed]:
            found[f'outside of {prefix.rstrip(".")}'] = outside
        return found

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tower in our keys below it.

        Raises:
            CheckpointError: Two names of one tensor hold different values.
        """
        prefix = self.prefix_of(weights)
        inside = {key: value for key, value in self.kept(weights).items() if key.startswith(prefix)}
        return self.to_ours({key.removeprefix(prefix): value for key, value in inside.items()})

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """What a file of this layout holds, from our keys below the tower.

        Raises:
            CheckpointError: A key has no name in this layout.
        """
        return self.wrap({f'{self.prefix}{key}': value for key, value in self.rename(state).items()})
