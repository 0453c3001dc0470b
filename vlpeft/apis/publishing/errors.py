"""What cannot be published."""


class PublishError(ValueError):
    """A checkpoint, config or result that contradict each other, or a text that would tell more than it should."""
