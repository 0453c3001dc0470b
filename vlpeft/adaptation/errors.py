"""The exception of adapter folders."""

from vlpeft.checkpoint import CheckpointError


class AdapterFolderError(CheckpointError):
    """An adapter folder cannot be written, read, or used on this model."""
