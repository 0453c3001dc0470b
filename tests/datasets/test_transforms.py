"""Clip transforms treat all frames alike and keep the item contract."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests import media
from vlpeft.datasets.readers import ClipError
from vlpeft.datasets.transforms import rand_augment
from vlpeft.datasets.transforms.rand_augment import OPERATIONS
from vlpeft.registry import TRANSFORMS


def textured(frames=1, size=(60, 90), seed=0):
    """A smooth random picture, repeated: uint8 (frames, 3, H, W)."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    picture = np.array(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
    return torch.from_numpy(picture).permute(2, 0, 1).repeat(frames, 1, 1, 1)


def apply(config, clip):
    return TRANSFORMS.build(config)(dict(clip=clip))['clip']


@pytest.mark.parametrize(
    'config, changes',
    [
        (dict(type='ClipRandomResizedCrop', size=32), True),
        (dict(type='ClipRandomFlip', prob=1.0), True),
        (dict(type='ClipRandAugment', num_ops=3, magnitude=9), True),
        (dict(type='ClipResize', size=32), True),
    ],
)
def test_all_frames_of_a_constant_clip_stay_identical(config, changes):
    clip = textured(frames=5)
    torch.manual_seed(0)
    results = [apply(config, clip.clone()) for _ in range(30)]
    for result in results:
        assert result.dtype == torch.uint8 and result.shape[:2] == (5, 3)
        assert (result == result[:1]).all()
    assert any(result.shape != clip.shape or not torch.equal(result, clip) for result in results)


@pytest.mark.parametrize('name', list(OPERATIONS))
def test_each_operation_keeps_frames_identical_and_leaves_the_input_alone(name):
    clip = textured(frames=3) // 2 + 30
    before = clip.clone()
    for sign in (-1, 1):
        result = OPERATIONS[name](clip, 0.9, sign)
        assert result.shape == clip.shape and result.dtype == torch.uint8
        assert (result == result[:1]).all()
        assert torch.equal(result, clip) == (name == 'Identity')
    assert torch.equal(clip, before)


def test_operations_match_pil_at_the_published_magnitude():
    """Rotation by 15 degrees, shear 0.15 and shift 5 px (level 5 of 10) against PIL, away from the edges."""
    clip = textured(size=(64, 64))
    image = Image.fromarray(clip[0].permute(1, 2, 0).numpy())
    bilinear = Image.Resampling.BILINEAR
    expected = dict(
        Rotate=image.rotate(15, bilinear),
        TranslateX=image.transform((64, 64), Image.Transform.AFFINE, (1, 0, -5, 0, 1, 0), bilinear),
        TranslateY=image.transform((64, 64), Image.Transform.AFFINE, (1, 0, 0, 0, 1, -5), bilinear),
        # Sheared about the middle row.
        ShearX=image.transform((64, 64), Image.Transform.AFFINE, (1, 0.15, -0.15 * 32, 0, 1, 0), bilinear),
    )
    for name, picture in expected.items():
        result = OPERATIONS[name](clip, 0.5, 1)[0].permute(1, 2, 0).numpy().astype(int)
        difference = np.abs(result - np.asarray(picture).astype(int))[16:48, 16:48]
        assert difference.mean() < 1.5, name
    assert torch.equal(OPERATIONS['Brightness'](clip, 0.5, 1), clip)  # BLIP's factor is 1 at the middle level


@pytest.mark.parametrize('name', ['AutoContrast', 'Equalize'])
def test_histogram_operations_measure_the_whole_clip(name):
    """A fade stays a fade: frame by frame each would be stretched to the same picture."""
    clip = torch.cat([textured() // 4, textured() // 2])
    result = OPERATIONS[name](clip, 0.5, 1).float().mean(dim=(1, 2, 3))
    assert result[0] < 0.8 * result[1]


def test_rand_augment_applies_num_ops_draws_from_all_operations(monkeypatch):
    applied = []
    monkeypatch.setattr(
        rand_augment,
        'OPERATIONS',
        {name: lambda clip, s, r, name=name: (applied.append((name, s, r)), clip)[1] for name in OPERATIONS},
    )
    augment = TRANSFORMS.build(dict(type='ClipRandAugment', num_ops=2, magnitude=5))
    torch.manual_seed(0)
    for _ in range(200):
        augment(dict(clip=textured()))
    assert len(applied) == 400
    assert {name for name, _, _ in applied} == set(OPERATIONS)
    assert {s for _, s, _ in applied} == {0.5} and {r for _, _, r in applied} == {-1, 1}


def test_random_crop_covers_half_to_all_of_the_area_and_follows_the_seed():
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(200), indexing='ij')
    clip = torch.stack([rows, columns, rows]).to(torch.uint8)[None]
    crop = TRANSFORMS.build(dict(type='ClipRandomResizedCrop', size=100))

    def areas(seed):
        torch.manual_seed(seed)
        found = []
        for _ in range(100):
            result = crop(dict(clip=clip.clone()))['clip'][0].float()
            height, width = result[0].max() - result[0].min() + 1, result[1].max() - result[1].min() + 1
            found.append(float(height * width) / 200**2)
        return np.array(found)

    found = areas(0)
    assert found.min() > 0.47 and found.max() > 0.9 and found.min() < 0.6
    np.testing.assert_array_equal(found, areas(0))
    assert not np.array_equal(found, areas(1))


def test_resize_is_bicubic_to_a_square():
    clip = textured(size=(60, 90))
    expected = Image.fromarray(clip[0].permute(1, 2, 0).numpy()).resize((40, 40), Image.Resampling.BICUBIC)
    result = apply(dict(type='ClipResize', size=40), clip)[0].permute(1, 2, 0).numpy()
    assert np.abs(result.astype(int) - np.asarray(expected).astype(int)).max() <= 1


def test_flip_mirrors_half_of_the_clips():
    clip = textured(frames=2)
    torch.manual_seed(0)
    flipped = [torch.equal(apply(dict(type='ClipRandomFlip'), clip), clip.flip(-1)) for _ in range(200)]
    assert 70 < sum(flipped) < 130


def test_load_clip_reads_the_middles(tmp_path):
    path = media.write_video(tmp_path / 'a.mp4', media.numbered_frames(40))
    results = TRANSFORMS.build(dict(type='LoadClip', num_frames=4))(dict(path=path, media='video'))
    assert results['frame_indices'] == [5, 15, 25, 35]
    assert results['clip'].dtype == torch.uint8 and results['clip'].shape == (4, 3, 48, 80)
    assert [media.frame_number(frame.permute(1, 2, 0).numpy()) for frame in results['clip']] == [5, 15, 25, 35]


@pytest.mark.parametrize('reader', ['DecordReader', 'PyAVReader'])
def test_load_clip_keeps_to_the_range_of_seconds(tmp_path, reader):
    path = media.write_video(tmp_path / 'a.mp4', media.numbered_frames(40), fps=10)
    load = TRANSFORMS.build(dict(type='LoadClip', num_frames=8, sampling='random', reader=dict(type=reader)))
    seen = set()
    for _ in range(20):
        seen.update(load(dict(path=path, media='video', start=1.0, end=2.5))['frame_indices'])
    assert seen == set(range(10, 25))
    with pytest.raises(ClipError, match='clip lasts 4.00 s'):
        load(dict(path=path, media='video', start=5))


def test_load_clip_reads_an_image_as_one_frame(tmp_path):
    path = media.write_image(tmp_path / 'a.png')
    results = TRANSFORMS.build(dict(type='LoadClip', num_frames=8, sampling='random'))(dict(path=path, media='image'))
    assert results['clip'].shape == (1, 3, 48, 80) and results['frame_indices'] == [0]
    np.testing.assert_array_equal(results['clip'][0].permute(1, 2, 0).numpy(), np.asarray(Image.open(path)))


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(num_frames=0), 'num_frames must be at least 1, got 0'),
        (dict(sampling='uniform'), "unknown sampling 'uniform'; valid: random, middle"),
        (dict(reader=dict(type='GifReader')), 'GifReader'),
    ],
)
def test_load_clip_refuses_wrong_arguments(arguments, message):
    with pytest.raises((ValueError, KeyError), match=message):
        TRANSFORMS.build(dict(type='LoadClip', **arguments))


def test_rand_augment_refuses_a_magnitude_outside_its_scale():
    with pytest.raises(ValueError, match='0..10, got 11'):
        TRANSFORMS.build(dict(type='ClipRandAugment', magnitude=11))
