"""Clips of a page: the frames of each are embedded once, as a style rule, however many places show it."""

import base64
import io
from collections.abc import Callable
from html import escape

import numpy as np
from PIL import Image

#: Pictures of fewer pixels a side are enlarged with their pixels as they are.
FEW_PIXELS = 96


class ClipStyles:
    """Frames of clips as rules of a style sheet.

    Args:
        load_frames: Clip name to its frames, uint8 RGB (T, H, W, 3); called once for each clip. Whatever it raises, the
            clip is shown as one that cannot be read.
        letter: How the names of its classes begin. Defaults to 'c'; a page with several needs different ones.
    """

    def __init__(self, load_frames: Callable[[str], np.ndarray], letter: str = 'c') -> None:
        self.load_frames, self.letter = load_frames, letter
        self.rules: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.faults: dict[str, str] = {}

    def load(self, clip: str) -> int:
        """Number of frames of a clip, which is loaded now if it was not; 0 if it cannot be read."""
        if clip not in self.counts:
            try:
                frames = self.load_frames(clip)
            except Exception as error:  # a page of results is not lost for a file that any decoder stumbles over
                self.counts[clip], self.faults[clip] = 0, _reason(error)
            else:
                self.counts[clip], self.classes[clip] = len(frames), f'{self.letter}{len(self.classes)}'
                self.rules[clip] = _rule(self.classes[clip], frames)
        return self.counts[clip]

    def play(self, clip: str, label: str) -> str:
        """The clip, playing: its frames one after the other in two seconds."""
        if not self.load(clip):
            return self._missing(clip)
        return f'<span class="play {self.classes[clip]}" role="img" aria-label="{escape(label)}"></span>'

    def strip(self, clip: str, label: str | None = None) -> str:
        """The frames side by side; without a label, for the eye only, beside a clip that plays."""
        if not self.load(clip):
            return '' if label is None else self._missing(clip)
        told = 'aria-hidden="true"' if label is None else f'role="img" aria-label="{escape(label)}"'
        return f'<span class="strip {self.classes[clip]}" {told}></span>'

    def style(self) -> str:
        """The rules of all clips that were shown."""
        return '\n'.join(self.rules.values())

    def _missing(self, clip: str) -> str:
        return f'<div class="missing">{escape(clip)} cannot be shown: {escape(self.faults[clip])}</div>'


def _reason(error: Exception) -> str:
    # Of a file that cannot be used the datasets say why, beside its path.
    return str(getattr(error, 'reason', '') or error)[:200] or type(error).__name__


def _rule(name: str, frames: np.ndarray) -> str:
    count, height, width = frames.shape[:3]
    stream, few = io.BytesIO(), max(height, width) <= FEW_PIXELS
    quality = dict(quality=88, subsampling=0) if few else dict(quality=82)
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(stream, 'JPEG', **quality)
    data = base64.b64encode(stream.getvalue()).decode()
    pixels = ' image-rendering: pixelated;' if few else ''
    return (
        f'.{name} {{ background-image: url(data:image/jpeg;base64,{data});{pixels} }}\n'
        f'.play.{name} {{ aspect-ratio: {width} / {height}; background-size: {count * 100}% 100%; '
        f'animation-timing-function: steps({count}, jump-none); }}\n'
        f'.strip.{name} {{ aspect-ratio: {count * width} / {height}; --frame: {100 / count:.4f}%; }}'
    )
