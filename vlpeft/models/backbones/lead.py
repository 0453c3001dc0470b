"""What stands before the texts that a language model reads."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Lead(NamedTuple):
    """The rows before B texts: ``perception`` (B, K, Dv) for the slot, None for no slot; P rows of prompt; ``late``
    (B, D), the perceptual token of layer e - 1; and ``pictures`` (B, R, W), tokens as they reach the first block.
    """

    perception: Tensor | None
    prompt_rows: int
    late: Tensor | None = None
    pictures: Tensor | None = None

    @property
    def slots(self) -> int:
        """Rows that perception takes: 1 if there is one, else 0."""
        return int(self.perception is not None)

    @property
    def rows(self) -> int:
        """Rows of slot and prompt."""
        return self.slots + self.prompt_rows

    @property
    def picture_rows(self) -> int:
        """R."""
        return 0 if self.pictures is None else self.pictures.shape[1]

    def with_pictures(self, mask: Tensor) -> Tensor:
        """A mask (B, L) of texts to one (B, R + L) of them behind their pictures."""
        return F.pad(mask, (self.picture_rows, 0), value=1)

    def repeat(self, times: int) -> 'Lead':
        """For ``times`` copies of each text, side by side."""
        return self._replace(
            **{
                name: None if (part := getattr(self, name)) is None else part.repeat_interleave(times, 0)
                for name in ('perception', 'late', 'pictures')
            }
        )
