"""What one task asks of a perceptual language model: which tokens it learns, and how it answers."""

from dataclasses import dataclass

from vlpeft.models.decoding import BEAM_RULES

from .seq2seq_task import OUTPUTS, check_counts, check_settings

LOSSES = ('text', 'answer')


@dataclass(frozen=True)
class PerceptualTask:
    """Settings of a task.

    Attributes:
        loss_on: Tokens that the loss counts: the whole ``'text'``, the question included, as released, or the
            ``'answer'`` (a caption) alone. Defaults to ``'text'``.
        output: Field of the prediction, ``'pred_answer'`` or ``'pred_caption'``. Defaults to ``'pred_answer'``.
        num_beams: Beams of the search; 1 is greedy. Defaults to 3, as released.
        beam_rule: What sums of log-likelihoods are divided by, ``'default'`` or ``'released'``; see
            :mod:`vlpeft.models.decoding`. Defaults to ``'default'``.
        max_new_tokens: Longest answer in tokens. Defaults to 30.
        count_prompt: Whether these count the tokens of the padded prompts too, as released; there is one new token at
            least. Defaults to False.

    Raises:
        ValueError: Unknown ``loss_on``, ``output`` or ``beam_rule``, or a number below 1.
    """

    loss_on: str = 'text'
    output: str = 'pred_answer'
    num_beams: int = 3
    beam_rule: str = 'default'
    max_new_tokens: int = 30
    count_prompt: bool = False

    def __post_init__(self) -> None:
        check_settings(
            loss_on=(self.loss_on, LOSSES), output=(self.output, OUTPUTS), beam_rule=(self.beam_rule, BEAM_RULES)
        )
        check_counts(num_beams=(self.num_beams, 1), max_new_tokens=(self.max_new_tokens, 1))

    def new_tokens(self, prompt_length: int) -> int:
        """Longest answer behind prompts padded to ``prompt_length`` tokens."""
        return max(self.max_new_tokens - prompt_length, 1) if self.count_prompt else self.max_new_tokens
