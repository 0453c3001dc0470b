"""The one exception of this package."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be fetched, read, converted or loaded; the message names the file and the keys."""
