"""Descriptions of images, videos and sounds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .media_files import PathLike
from .text_inferencer import TextInferencer, paths_of, refuse_if_none


class Caption(NamedTuple):
    """How a model describes a file.

    Attributes:
        file: Its path, as given.
        caption: None where the file could not be used.
        score: Where scores were asked for: the geometric mean of the probabilities of its tokens, from 0 to 1.
        error: Why the file could not be used.
    """

    file: str
    caption: str | None
    score: float | None = None
    error: str | None = None


class CaptionInferencer(TextInferencer):
    """Describes images, videos or sounds as the test of a config does, its prompt included.

    Args:
        model: A model that describes: name in the zoo, or path of a config file.
        checkpoint, device, dtype, adapters, task: As of :class:`VQAInferencer`.
        **overrides: Settings of the config's ``model``, as for :func:`vlpeft.get_model`.

    Raises:
        ValueError: The model does something else, or reads what no file holds; there is no such device, number format
            or task.
        ZooError, FileNotFoundError, CheckpointError: As :func:`vlpeft.get_model`.

    Examples:
        >>> from vlpeft import CaptionInferencer
        >>> describe = CaptionInferencer('quickstart_captions_vlpet', 'epoch_12.pth')
        >>> describe('photo.jpg')
        Caption(file='photo.jpg', caption='a red circle', score=None, error=None)
    """

    output, doing = 'pred_caption', 'describing'

    def __call__(
        self,
        files: PathLike | Sequence[PathLike],
        question: None = None,
        *,
        batch_size: int | None = None,
        adapter: str | None = ...,
        scores: bool = False,
    ) -> Caption | list[Caption]:
        """Describes files.

        Args:
            files: A file, or several.
            question: There is none: it is here to be refused with a clear message.
            batch_size: Samples of a batch. Defaults to None, that of the config's test.
            adapter: Name of the checkpoint that acts; None for the base alone. Defaults to the first.
            scores: Whether to compute scores too. Defaults to False.

        Returns:
            A caption, or of several files a list, in their order. A file of several that cannot be used has its reason
            as ``error``.

        Raises:
            ValueError: A question; no such adapter.
            ClipError: No file at all can be used.
        """
        if question is not None:
            raise ValueError(f'{question!r}: a captioner takes no question; VQAInferencer answers questions')
        paths, single = paths_of(files)
        found = self.run([dict(path=path, sample_id=path) for path in paths], batch_size, adapter, scores)
        refuse_if_none(paths, found)
        captions = self.postprocess(paths, found)
        return captions[0] if single else captions

    def postprocess(self, files: Sequence[str], found: Sequence[Any]) -> list[Caption]:
        """Captions of what was found for each file."""
        return [Caption(file, *one) for file, one in zip(files, found)]
