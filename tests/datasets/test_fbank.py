"""Filter-bank energies against Kaldi's definition written out in plain Python, and against what is known by hand."""

import cmath
import math

import numpy as np
import pytest
import torch

from tests.sounds import sine
from vlpeft.datasets import ClipError
from vlpeft.datasets.transforms import Fbank, NormaliseFbank, SpecAugment
from vlpeft.datasets.transforms.fbank import fbank
from vlpeft.registry import TRANSFORMS

SILENCE = math.log(2**-23)


def mel(frequency):
    return 1127 * math.log(1 + frequency / 700)


def slow_fbank(samples, rate, bins):
    """Frame by frame and sum by sum (Kaldi, feat/feature-window.cc, feat/mel-computations.cc)."""
    window, shift = int(rate * 0.025), int(rate * 0.01)
    size = 2 ** math.ceil(math.log2(window))
    rows = []
    for first in range(0, len(samples) - window + 1, shift):
        frame = [float(value) for value in samples[first : first + window]]
        mean = sum(frame) / window
        frame = [value - mean for value in frame]
        for n in range(window - 1, 0, -1):
            frame[n] -= 0.97 * frame[n - 1]
        frame[0] -= 0.97 * frame[0]
        frame = [value * (0.5 - 0.5 * math.cos(2 * math.pi * n / (window - 1))) for n, value in enumerate(frame)]
        turns = [cmath.exp(-2j * math.pi * n / size) for n in range(size)]
        power = [abs(sum(value * turns[k * n % size] for n, value in enumerate(frame))) ** 2 for k in range(size // 2)]
        rows.append([])
        low, high = mel(20), mel(rate / 2)
        for number in range(bins):
            left, centre, right = (low + (number + i) * (high - low) / (bins + 1) for i in range(3))
            energy = 0.0
            for k in range(size // 2):
                place = mel(k * rate / size)
                if left < place <= centre:
                    energy += power[k] * (place - left) / (centre - left)
                elif centre < place < right:
                    energy += power[k] * (right - place) / (right - centre)
            rows[-1].append(math.log(max(energy, 2**-23)))
    return np.array(rows)


@pytest.mark.parametrize('rate, bins, samples', [(16000, 128, 400 + 2 * 160 + 159), (8000, 40, 520), (11025, 23, 500)])
def test_energies_equal_kaldis_definition(rate, bins, samples):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, samples) + 0.2
    waveform = torch.from_numpy(noise.astype(np.float32))
    expected = slow_fbank(waveform.numpy(), rate, bins)
    result = fbank(waveform, rate, bins)
    assert result.dtype == torch.float32 and tuple(result.shape) == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=2e-4)
    torch.testing.assert_close(fbank(waveform, rate, bins, max_frames=2), result[:2], rtol=0, atol=1e-5)


def test_frames_lie_inside_the_waveform_and_start_every_ten_milliseconds():
    noise = torch.randn(16000 * 10, generator=torch.Generator().manual_seed(0))
    energies = fbank(noise, 16000)
    assert [len(fbank(noise[:count], 16000)) for count in (400, 559, 560, 16000)] == [1, 1, 2, 98]
    assert energies.shape == (998, 128)
    torch.testing.assert_close(fbank(noise[5 * 160 :], 16000), energies[5:], rtol=0, atol=1e-4)


@pytest.mark.parametrize('frequency, peak', [(610, 30), (984, 43), (2030, 68), (4080, 97), (6068, 115), (7670, 126)])
def test_a_sine_is_loudest_in_the_mel_bin_around_its_frequency(frequency, peak):
    """At 16 kHz bin k has its centre at 31.75 + 21.77 (k + 1) mel; 984 Hz are 989.6 mel: bin 43."""
    energies = fbank(torch.from_numpy(sine(frequency)).float(), 16000)
    assert set(energies.argmax(dim=1).tolist()) == {peak}
    assert energies[:, peak].min() > energies[:, (peak + 64) % 128].max() + 5


def test_scale_offset_and_silence():
    wave = torch.from_numpy(sine(984)).float()
    twice = fbank(2 * wave, 16000) - fbank(wave, 16000)
    torch.testing.assert_close(twice[:, 43], torch.full((98,), math.log(4)), rtol=0, atol=1e-4)
    torch.testing.assert_close(fbank(wave + 0.25, 16000)[:, 43], fbank(wave, 16000)[:, 43], rtol=0, atol=1e-4)
    assert fbank(torch.zeros(400), 16000).tolist() == [pytest.approx([SILENCE] * 128)]


@pytest.mark.parametrize('seconds, rows', [(0.5, 48), (12, 1024)])
def test_short_sounds_end_in_zeros_and_long_ones_are_cut(seconds, rows):
    wave = torch.from_numpy(sine(1000, seconds)).float()
    results = Fbank()(dict(waveform=wave, sample_rate=16000, path='a.wav'))
    features = results['features']
    assert features.shape == (1, 1024, 128) and features.dtype == torch.float32
    torch.testing.assert_close(features[0, :rows], fbank(wave - wave.mean(), 16000)[:1024], rtol=0, atol=0)
    assert not features[0, rows:].any()
    normal = NormaliseFbank()(dict(results))['features']
    torch.testing.assert_close(normal, (features + 4.2677393) / 9.1379948)
    assert Fbank(length=10, bins=23)(results)['features'].shape == (1, 10, 23)


def test_less_than_a_frame_is_a_clip_error():
    with pytest.raises(ClipError, match=r'a.wav: 24.9 ms of sound, a frame takes 25 ms') as caught:
        Fbank()(dict(waveform=torch.ones(399), sample_rate=16000, path='a.wav'))
    assert caught.value.path == 'a.wav'


def runs(flags):
    """Bounds of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def test_masks_are_one_band_and_one_stretch_of_every_width_below_the_limits_anywhere():
    torch.manual_seed(0)
    augment, features = TRANSFORMS.build(dict(type='SpecAugment', bins=4, frames=7)), torch.ones(1, 12, 9)
    widths, places = dict(bins=set(), frames=set()), dict(bins=set(), frames=set())
    for _ in range(400):
        masked = augment(dict(features=features))['features'][0].numpy()
        stretch, band = runs((masked == 0).all(axis=1)), runs((masked == 0).all(axis=0))
        expected = np.ones((12, 9))
        for name, found in (('frames', stretch), ('bins', band)):
            assert len(found) <= 1
            widths[name].add(found[0][1] - found[0][0] if found else 0)
            places[name].update(range(*found[0]) if found else ())
        for first, stop in stretch:
            expected[first:stop] = 0
        for first, stop in band:
            expected[:, first:stop] = 0
        np.testing.assert_array_equal(masked, expected)
    assert widths == dict(bins={0, 1, 2, 3}, frames={0, 1, 2, 3, 4, 5, 6})
    assert places == dict(bins=set(range(9)), frames=set(range(12)))
    assert features.all()  # a cached input stays whole


def test_masks_follow_torchs_seed():
    features = torch.ones(1, 1024, 128)

    def draw(seed):
        torch.manual_seed(seed)
        return SpecAugment()(dict(features=features))['features']

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_masks_that_do_not_fit_are_refused():
    step = TRANSFORMS.build(dict(type='SpecAugment', bins=4, frames=20))
    with pytest.raises(ValueError, match='does not fit into a spectrogram of 10 frames and 8 bins'):
        step.transform(dict(features=torch.ones(1, 10, 8)))
