"""What one task asks of an image-text-to-text model: its loss, and how it answers."""

from dataclasses import dataclass

from .seq2seq_task import LOSSES, OUTPUTS, check_counts, check_settings

CHOSEN_BY = ('first_token', 'score')


@dataclass(frozen=True)
class ImageTextTask:
    """Settings of a task.

    Attributes:
        loss: ``'token'``: mean over all counted tokens of the batch, of all processes; ``'sample'``: mean over those of
            each sample, times its ``weight`` if it has one, mean over the batch. Defaults to ``'token'``.
        output: Field of the prediction, ``'pred_answer'`` or ``'pred_caption'``. Defaults to ``'pred_answer'``.
        max_new_tokens: Longest answer in tokens. Defaults to 20.
        num_beams: Beams of the search; 1 is greedy. Defaults to 1.
        choices: Answers of which the likeliest is taken, without generation; of equally likely ones the first. Defaults
            to None: the answer is generated.
        chosen_by: Likelihood of the ``'first_token'`` of each choice, one forward pass for all; or ``'score'``, that of
            all its tokens and the end after them, one forward pass for each. Defaults to ``'first_token'``.

    Raises:
        ValueError: Unknown ``loss``, ``output`` or ``chosen_by``, fewer than two choices, or a number below 1.
    """

    loss: str = 'token'
    output: str = 'pred_answer'
    max_new_tokens: int = 20
    num_beams: int = 1
    choices: tuple[str, ...] | None = None
    chosen_by: str = 'first_token'

    def __post_init__(self) -> None:
        check_settings(loss=(self.loss, LOSSES), output=(self.output, OUTPUTS), chosen_by=(self.chosen_by, CHOSEN_BY))
        check_counts(max_new_tokens=(self.max_new_tokens, 1), num_beams=(self.num_beams, 1))
        if self.choices is not None and (isinstance(self.choices, str) or len(set(self.choices)) < 2):
            raise ValueError(f'task setting choices={self.choices!r} leaves nothing to choose')
