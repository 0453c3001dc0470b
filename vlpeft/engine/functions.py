"""Functions that configs name."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import default_collate

from vlpeft.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_clips(batch: Sequence[dict]) -> Any:
    """Stacks samples as MMEngine's ``default_collate`` does, and says which clips cannot stand in one batch.

    Args:
        batch: Dicts of ``inputs``, a tensor, and ``data_samples``.

    Raises:
        ValueError: The clips differ in shape, such as an image, which is one frame, and a video of several.
    """
    shapes: dict = {}
    for item in batch:
        shapes.setdefault(tuple(item['inputs'].shape), item['data_samples'].get('name'))
    if len(shapes) > 1:
        found = ' and '.join(f'{name!r} {shape}' for shape, name in list(shapes.items())[:2])
        raise ValueError(
            f'clips of one batch differ in shape (T, 3, H, W): {found}. An image is one frame: give '
            'images and videos a set each, or sample one frame of videos (num_frames=1); other sizes need '
            'ClipResize in the pipeline'
        )
    return default_collate(batch)


@FUNCTIONS.register_module()
def collate_chat(batch: Sequence[dict]) -> dict[str, list]:
    """Lists the samples of conversations, which differ in length and in their tensors; the preprocessor joins them.

    Args:
        batch: Dicts of ``inputs``, a dict of tensors, and ``data_samples``.
    """
    return {name: [item[name] for item in batch] for name in ('inputs', 'data_samples')}
