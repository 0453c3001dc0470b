"""Inputs of packed samples as pictures: what a model sees, its normalisation undone."""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from vlpeft.visualization.samples_page import ShownPicture

#: Pictures of a sample that are shown at most.
MOST = 32
#: Sides of cells of features, in pixels.
CELL = 12


def shown(inputs: Tensor, sample: BaseDataElement, preprocessor: nn.Module | None) -> tuple[list[ShownPicture], str]:
    """Pictures of the ``inputs`` of a sample, and a line about them.

    Args:
        inputs: As ``PackSample`` packs them: frames or images (T, 3, H, W); a sound's energies (1, frames, bins); or
            stored features (I, N, F).
        sample: Its other fields.
        preprocessor: That of the model, on the CPU; None: inputs are shown as they are.
    """
    size = ' x '.join(map(str, inputs.shape))
    if inputs.ndim == 4 and inputs.shape[1] == 3:
        frames, note = _frames(inputs, preprocessor)
        names = _names(len(frames), sample)
        height, width = frames.shape[1:3]
        kind = 'frames' if sample.get('frame_indices') is not None and len(frames) > 1 else 'images'
        said = f'{len(frames)} {kind if len(frames) > 1 else kind[:-1]} of {height} x {width} pixels{note}'
        return _some([ShownPicture(frame, name) for frame, name in zip(frames, names)], said)
    if inputs.ndim == 3 and inputs.shape[0] == 1 and sample.get('names') is None and _is_sound(inputs):
        return [ShownPicture(_heat(inputs[0].float().T.flip(0)))], (
            f'{inputs.shape[1]} frames (left to right) of {inputs.shape[2]} filter-bank energies (bottom to top), '
            f'normalised: mean {float(inputs.float().mean()):.3f}, standard deviation {float(inputs.float().std()):.3f}'
        )
    if inputs.ndim == 3:
        values = inputs.float()
        said = (
            f'stored features {size}, {str(inputs.dtype).removeprefix("torch.")}: mean {float(values.mean()):.3f}, '
            f'standard deviation {float(values.std()):.3f}, from {float(values.min()):.3g} to {float(values.max()):.3g}'
            '; drawn is the length of each cell’s vector'
        )
        return _some([ShownPicture(_cells(image), f'image {i + 1}') for i, image in enumerate(values)], said)
    return [], f'inputs of shape {size}, of which no picture is known'


def chat_pictures(processor: Any, inputs: Mapping[str, Tensor]) -> tuple[list[ShownPicture], str]:
    """Pictures that a processor has made of those of a conversation, and a line about them."""
    found, notes = [], []
    for name, kind in (('pixel_values', 'image'), ('pixel_values_videos', 'video')):
        values = inputs.get(name)
        if values is None:
            continue
        own = getattr(processor, f'{kind}_processor', None) or processor.image_processor
        grid = inputs.get(f'{kind}_grid_thw')
        stacks = _from_grid(values, grid, own) if grid is not None else _flat(values)
        if not stacks:
            notes.append(f'{name} of shape {" x ".join(map(str, values.shape))}, of which no picture is known')
        for stack in stacks:
            pixels = _denormalised(stack.float(), own)
            found += [ShownPicture(frame, f'{frame.shape[1]} x {frame.shape[0]}') for frame in pixels]
    said = f'{len(found)} pictures, tiles and frames of a video each one' if len(found) > 1 else ''
    some, note = _some(found, said)
    return some, '; '.join(filter(None, (note, *notes)))


def _some(pictures: Sequence[ShownPicture], note: str) -> tuple[list[ShownPicture], str]:
    if len(pictures) > MOST:
        return list(pictures[:MOST]), f'{note}; the first {MOST} are shown'
    return list(pictures), note


def _frames(inputs: Tensor, preprocessor: nn.Module | None) -> tuple[np.ndarray, str]:
    """uint8 (T, H, W, 3), by way of the model's own normalisation."""
    if preprocessor is None or not hasattr(preprocessor, 'std'):
        return _bytes(inputs.float()), ''
    ready = preprocessor(dict(inputs=inputs[None], data_samples=[]))['inputs'][0]
    return _bytes(ready * preprocessor.std + preprocessor.mean), ', normalised by the model and drawn without that'


def _bytes(pixels: Tensor) -> np.ndarray:
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _names(count: int, sample: BaseDataElement) -> list[str]:
    indices = sample.get('frame_indices')
    if indices is None or len(indices) != count or count == 1:
        return [''] * count
    return [f'frame {int(index)}' for index in indices]


def _is_sound(inputs: Tensor) -> bool:
    # Mel bins are few; features of one image have hundreds of channels and a square of cells.
    return inputs.shape[2] <= 256 and isqrt(inputs.shape[1]) ** 2 != inputs.shape[1] or inputs.shape[2] in (64, 128)


def _heat(values: Tensor) -> np.ndarray:
    """(H, W) to colours between its least and largest value."""
    from matplotlib import colormaps

    finite = values[values.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    scaled = ((values - low) / (high - low or 1)).nan_to_num(0).clamp(0, 1).numpy()
    return (255 * colormaps['cividis'](scaled)[..., :3]).round().astype(np.uint8)


def _cells(image: Tensor) -> np.ndarray:
    """(N, F) to a square of cells, or a row."""
    lengths = image.norm(dim=-1)
    side = isqrt(len(lengths))
    grid = lengths.view(side, side) if side**2 == len(lengths) else lengths[None]
    return _heat(grid).repeat(CELL, 0).repeat(CELL, 1)


def _flat(values: Tensor) -> list[Tensor]:
    """(…, 3, H, W) to one stack; nothing of other shapes."""
    return [values.reshape(-1, *values.shape[-3:])] if values.ndim >= 4 and values.shape[-3] == 3 else []


def _from_grid(values: Tensor, grid: Tensor, processor: Any) -> list[Tensor]:
    """Qwen-VL's patches (N, C · t · p · p) to pictures (T, 3, H, W) of each grid."""
    names = ('patch_size', 'merge_size', 'temporal_patch_size')
    side, merge, times = (getattr(processor, name, None) for name in names)
    if None in (side, merge, times) or values.ndim != 2 or values.shape[1] != 3 * times * side**2:
        return []
    stacks, start = [], 0
    for frames, rows, columns in grid.tolist():
        count = frames * rows * columns
        patches = values[start : start + count].view(
            frames, rows // merge, columns // merge, merge, merge, 3, times, side, side
        )
        start += count
        # To (frames, times, 3, row block, row, y, column block, column, x).
        whole = patches.permute(0, 6, 5, 1, 3, 7, 2, 4, 8)
        pictures = whole.reshape(frames * times, 3, rows * side, columns * side)
        # An image is shown twice in time.
        stacks.append(pictures[::times] if frames == 1 else pictures)
    return stacks


def _denormalised(pixels: Tensor, processor: Any) -> np.ndarray:
    if getattr(processor, 'do_normalize', False):
        mean, std = (torch.tensor(getattr(processor, f'image_{name}')).view(-1, 1, 1) for name in ('mean', 'std'))
        pixels = pixels * std + mean
    if getattr(processor, 'do_rescale', True):
        pixels = pixels / getattr(processor, 'rescale_factor', 1 / 255)
    return _bytes(pixels)
