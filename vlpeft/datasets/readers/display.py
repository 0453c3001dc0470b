"""How a file wants its pictures shown: the display matrix of phones and editors."""

import numpy as np


def upright(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turn and mirror a picture as a display matrix says.

    The matrix (a b u; c d v; x y w) takes the pixel (p, q), q downwards, to (a p + c q + x, b p + d q + y). Its scale
    and shift change nothing in the picture; an angle between quarter turns is brought to the nearest one.

    Args:
        pixels: (H, W, 3).
        matrix: int32 (9,), row by row. None leaves the picture as it is.

    Returns:
        (H, W, 3), or (W, H, 3) after a quarter turn.
    """
    if matrix is None:
        return pixels
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):  # columns become rows
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def display_matrix(frame) -> np.ndarray | None:
    """Display matrix of a PyAV frame, int32 (9,); None if it has none."""
    data = frame.side_data.get('DISPLAYMATRIX')
    return None if data is None else np.frombuffer(data, np.int32)


def changes_pictures(matrix: np.ndarray | None) -> bool:
    """Whether :func:`upright` turns or mirrors."""
    probe = np.arange(6).reshape(2, 3, 1)
    return not np.array_equal(upright(probe, matrix), probe)
