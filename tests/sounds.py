"""Sound files for tests."""

import numpy as np
import soundfile


def sine(frequency: float, seconds: float = 1.0, rate: int = 16000, amplitude: float = 0.5) -> np.ndarray:
    """amplitude · sin(2 π frequency t), float64 (seconds · rate,)."""
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write_sound(path, *channels, rate: int = 16000, subtype: str | None = None) -> str:
    """Write channels (N,) as a sound file; the format follows the suffix of ``path``. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), np.stack(channels, axis=1), rate, subtype=subtype)
    return str(path)
