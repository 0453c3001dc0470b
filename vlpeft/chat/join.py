"""From samples of different lengths, sizes and numbers of images to one batch."""

from collections.abc import Sequence

from torch import Tensor, cat, zeros_like
from torch.nn.functional import pad

from .encode import IGNORED, PER_TOKEN

TEXTS = ('input_ids', 'labels', *PER_TOKEN)


def join(samples: Sequence[dict[str, Tensor]], pad_token_id: int, left: bool = False) -> dict[str, Tensor]:
    """One batch.

    Ids, masks, labels and token types are padded to one length. All other tensors are padded with 0 at the end of every
    dimension but the first and joined along the first; a sample may be without some of them.

    Args:
        samples: Tensors by name, of batch dimension 1; images may be several.
        pad_token_id: Padding of the ids.
        left: Whether texts are padded on the left. Defaults to False.
    """
    values = dict(input_ids=pad_token_id, labels=IGNORED)
    # Idefics counts the images of each sample along dimension 1, so one without images is a row of empty ones.
    by_row = any('pixel_attention_mask' in sample for sample in samples)
    joined = {}
    for name in dict.fromkeys(name for sample in samples for name in sample):
        present = [sample[name] for sample in samples if name in sample]
        if by_row and name in ('pixel_values', 'pixel_attention_mask'):
            present = [sample.get(name, zeros_like(present[0][:, :1])) for sample in samples]
        sizes = [max(found) for found in zip(*(tensor.shape[1:] for tensor in present))]
        at_left = left and name in TEXTS
        joined[name] = cat([_padded(tensor, sizes, values.get(name, 0), at_left) for tensor in present])
    return joined


def _padded(tensor: Tensor, sizes: Sequence[int], value: int, left: bool) -> Tensor:
    missing = [size - have for size, have in zip(sizes, tensor.shape[1:])]
    sides = [side for gap in reversed(missing) for side in ((gap, 0) if left else (0, gap))]
    return pad(tensor, sides, value=value) if any(sides) else tensor
