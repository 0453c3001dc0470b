"""Log-mel filter-bank energies of a waveform as Kaldi computes them (Povey et al., ASRU 2011), without torchaudio."""

from functools import lru_cache

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor
from torch.nn import functional as F

from ...registry import TRANSFORMS
from ..readers import ClipError

LOWEST = 20.0
PREEMPHASIS = 0.97
#: Of AudioSet's filter-bank energies.
AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974
FLOOR = torch.finfo(torch.float32).eps


def fbank(waveform: Tensor, sample_rate: int, bins: int = 128, max_frames: int | None = None) -> Tensor:
    """Log-mel energies of frames of 25 ms, every 10 ms.

    Of each frame that lies inside the waveform: subtract its mean; x_n - 0.97 x_{n-1}; times a Hann window that is 0 at
    both ends; zeros up to a power of two; power spectrum; triangular filters, equally spaced from 20 Hz to half the
    sample rate in mel(f) = 1127 ln(1 + f / 700); ln max(energy, 2^-23). These are Kaldi's defaults but for the window,
    the number of filters and no dither.

    Args:
        waveform: Float (N,).
        sample_rate: Samples per second.
        bins: Mel filters. Defaults to 128.
        max_frames: Leave out later frames. Defaults to None, all.

    Returns:
        (frames, bins), frames = 1 + (N - 25 ms) // 10 ms.

    Raises:
        ValueError: The waveform is shorter than a frame.
    """
    window, shift = sample_rate * 25 // 1000, sample_rate // 100
    if len(waveform) < window:
        raise ValueError(f'{1000 * len(waveform) / sample_rate:.3g} ms of sound, a frame takes 25 ms')
    frames = waveform.unfold(0, window, shift)[:max_frames]
    frames = frames - frames.mean(dim=1, keepdim=True)
    # The window makes the first sample 0, and a leading 0 more or less does not change the power.
    frames = (frames[:, 1:] - PREEMPHASIS * frames[:, :-1]) * torch.hann_window(window, periodic=False)[1:]
    size = 1 << (window - 1).bit_length()
    power = torch.fft.rfft(frames, n=size).abs().square()
    return (power @ mel_filters(sample_rate, size, bins)).clamp_min(FLOOR).log()


@lru_cache(maxsize=8)
def mel_filters(sample_rate: int, size: int, bins: int) -> Tensor:
    """Triangles in mel, each from the centre of the one before to the centre of the one after.

    Args:
        sample_rate: Samples per second.
        size: Points of the Fourier transform.
        bins: Filters.

    Returns:
        Weights, float32 (size / 2 + 1, bins).
    """
    points = _mel(torch.arange(size // 2 + 1, dtype=torch.float64) * sample_rate / size)[:, None]
    lowest, highest = _mel(torch.tensor([LOWEST, sample_rate / 2], dtype=torch.float64)).tolist()
    step = (highest - lowest) / (bins + 1)
    centres = lowest + step * torch.arange(1, bins + 1, dtype=torch.float64)
    return (1 - (points - centres).abs() / step).clamp_min(0).float()


def _mel(frequency: Tensor) -> Tensor:
    return 1127 * torch.log1p(frequency / 700)


@TRANSFORMS.register_module()
class Fbank(BaseTransform):
    """Log-mel energies of a sample, as AST and eP-ALM read them.

    Needs ``waveform`` (N,), ``sample_rate`` and ``path``; adds ``features``, a float tensor (1, length, bins): of a
    longer sound the beginning, of a shorter one all and then zeros. The mean of the waveform is subtracted first. See
    :func:`fbank`.

    Args:
        length: Frames of 10 ms. Defaults to 1024.
        bins: Mel filters. Defaults to 128.

    Raises:
        ClipError: On use, when the sound is shorter than 25 ms, or so loud that its energies overflow.
    """

    def __init__(self, length: int = 1024, bins: int = 128) -> None:
        self.length, self.bins = length, bins

    def transform(self, results: dict) -> dict:
        waveform = results['waveform']
        try:
            energies = fbank(waveform - waveform.mean(), results['sample_rate'], self.bins, self.length)
        except ValueError as error:
            raise ClipError(results['path'], str(error), 'too_short') from error
        if not energies.isfinite().all():
            raise ClipError(
                results['path'], f'its samples reach {float(waveform.abs().max()):.3g}, the energies overflow'
            )
        results['features'] = F.pad(energies, (0, 0, 0, self.length - len(energies)))[None]
        return results


@TRANSFORMS.register_module()
class NormaliseFbank(BaseTransform):
    """Normalise ``features`` as AST does, by AudioSet's statistics, to mean 0 and standard deviation 1/2:
    (x - mean) / (2 std).
    """

    def transform(self, results: dict) -> dict:
        results['features'] = (results['features'] - AUDIOSET_MEAN) / (2 * AUDIOSET_STD)
        return results
