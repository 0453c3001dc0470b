"""Draws scenes: uint8 RGB frames from anti-aliased coverage masks, PNG stills and H.264 clips."""

from fractions import Fraction
from random import Random

import av
import numpy as np
from PIL import Image

from .scenes import FRAMES, SIDE, Scene, Thing

RGB = {
    'red': (220, 40, 40),
    'green': (40, 165, 55),
    'blue': (50, 90, 230),
    'yellow': (245, 205, 40),
    'purple': (160, 60, 200),
    'cyan': (80, 225, 235),
    'black': (14, 14, 18),
    'gray': (146, 146, 148),
    'white': (236, 236, 232),
}
BRIGHTNESS_JITTER = 14
GRADIENT = 12
FRAMES_PER_SECOND = 8


def coverage(shape: str, centre, radius: float) -> np.ndarray:
    """Share of every pixel that a shape covers: float (SIDE, SIDE) in [0, 1]."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    x, y = x - centre[0], y - centre[1]
    if shape == 'circle':
        inside = radius - np.hypot(x, y)
    elif shape == 'square':
        inside = 0.88 * radius - np.maximum(abs(x), abs(y))
    elif shape == 'diamond':
        inside = (1.15 * radius - abs(x) - abs(y)) / np.sqrt(2)
    elif shape == 'ring':
        distance = np.hypot(x, y)
        inside = np.minimum(radius - distance, distance - 0.5 * radius)
    elif shape == 'triangle':
        # Equilateral, tip up: distances to its base and to its two slanted sides.
        inside = 0.56 * radius - np.maximum(y, abs(x) * np.sqrt(3) / 2 - y / 2)
    else:
        bar = np.minimum(0.34 * radius - abs(x), radius - abs(y))
        inside = np.maximum(bar, np.minimum(0.34 * radius - abs(y), radius - abs(x)))
    return np.clip(inside + 0.5, 0, 1)


def _is_visible(thing: Thing, frame: int) -> bool:
    return thing.event not in ('blink', 'joint') or thing.is_first_half(frame)


def render(scene: Scene, frames: int, rng: Random) -> np.ndarray:
    """Draw a scene.

    Args:
        scene: What to draw.
        frames: Number of frames; 1 for a still, ``FRAMES`` for a clip.
        rng: Draws the small differences of brightness between pictures.

    Returns:
        uint8 RGB frames (frames, SIDE, SIDE, 3).
    """

    def shade(name):
        # One offset for the three channels: gray stays gray.
        return np.array(RGB[name]) + rng.uniform(-BRIGHTNESS_JITTER, BRIGHTNESS_JITTER)

    # Lighter at the top: one offset for each row.
    slope = rng.uniform(0, GRADIENT) * np.linspace(1, -1, SIDE)[:, None, None]
    background = shade(scene.background) + slope
    colours = [(shade(t.colour), shade(t.second_colour or t.colour)) for t in scene.things]
    out = np.empty((frames, SIDE, SIDE, 3))
    for frame in range(frames):
        out[frame] = background
        for thing, (first, second) in zip(scene.things, colours):
            if _is_visible(thing, frame):
                alpha = coverage(thing.shape, thing.centre(frame), thing.radius(frame))[..., None]
                colour = second if thing.second_colour and thing.is_first_half(frame) else first
                out[frame] = out[frame] * (1 - alpha) + colour * alpha
    return out.clip(0, 255).round().astype(np.uint8)


def write_still(path: str, scene: Scene, seed: str) -> None:
    """Write a still as PNG."""
    Image.fromarray(render(scene, 1, Random(seed))[0]).save(path)


def write_clip(path: str, scene: Scene, seed: str) -> None:
    """Write a clip as H.264 mp4 (yuv420p, 8 frames a second)."""
    with av.open(path, 'w') as container:
        stream = container.add_stream('libx264', rate=FRAMES_PER_SECOND)
        stream.width = stream.height = SIDE
        stream.pix_fmt = 'yuv420p'
        # With several threads, or with macroblock-tree rate control, x264 gives other bytes from run to run.
        stream.options = {'crf': '16', 'preset': 'veryfast', 'threads': '1', 'x264-params': 'mbtree=0'}
        stream.codec_context.time_base = Fraction(1, FRAMES_PER_SECOND)
        for picture in render(scene, FRAMES, Random(seed)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
