"""What eP-ALM's pipelines add: flips that keep sides, RandAugment by chance, one question mark, packed clips."""

import pytest
import torch

from vlpeft.datasets.transforms import ComposeText, rand_augment
from vlpeft.registry import TRANSFORMS

CLIP = torch.arange(2 * 3 * 8 * 8, dtype=torch.uint8).reshape(2, 3, 8, 8)


def flipped(prob=1.0, keep_sides=True, **texts):
    results = TRANSFORMS.build(dict(type='ClipRandomFlip', prob=prob, keep_sides=keep_sides))(dict(texts, clip=CLIP))
    assert torch.equal(results['clip'], CLIP) or torch.equal(results['clip'], CLIP.flip(-1))
    return torch.equal(results['clip'], CLIP.flip(-1))


@pytest.mark.parametrize(
    'texts',
    [
        dict(question='Is it on the left?', answers=['yes']),
        dict(question='Where is it?', answers=['up', 'Right']),
        dict(caption='a man turns RIGHT.'),
        dict(caption='the leftmost chair'),
        dict(text='left-hand traffic'),
    ],
)
def test_clips_of_texts_about_sides_are_not_mirrored(texts):
    assert not flipped(**texts)
    assert flipped(keep_sides=False, **texts)


@pytest.mark.parametrize(
    'texts',
    [
        dict(question='Is he bright?', answers=['leftovers']),
        dict(caption='a copyright sign'),
        {},
    ],
)
def test_other_clips_are(texts):
    assert flipped(**texts)
    assert not flipped(prob=0.0, **texts)


def test_each_operation_is_applied_with_the_probability(monkeypatch):
    monkeypatch.setattr(rand_augment, 'OPERATIONS', dict(Add=lambda clip, s, r: clip + 1))
    clip = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    augment = TRANSFORMS.build(dict(type='ClipRandAugment', num_ops=2, magnitude=7, prob=0.5))
    torch.manual_seed(0)
    applied = [int(augment(dict(clip=clip))['clip'].max()) for _ in range(400)]
    # None, one or both: a quarter, a half, a quarter; four standard deviations of 400 draws.
    assert [abs(applied.count(n) - expected) < 40 for n, expected in ((0, 100), (1, 200), (2, 100))] == [True] * 3
    always = TRANSFORMS.build(dict(type='ClipRandAugment', num_ops=2, magnitude=7))
    assert {int(always(dict(clip=clip))['clip'].max()) for _ in range(20)} == {2}


def test_level_seven_brightens_by_1_36_and_shifts_by_seven_pixels_of_grey():
    clip = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
    assert (rand_augment.OPERATIONS['Brightness'](clip, 0.7, 1) == 136).all()
    shifted = rand_augment.OPERATIONS['TranslateX'](clip, 0.7, 1)
    assert (shifted[..., :7] == 128).all() and (shifted[..., 7:] == 100).all()


def test_torchvisions_augmentation_is_the_same_for_every_frame_and_has_its_own_operations():
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    augment = TRANSFORMS.build(dict(type='ClipTorchvisionRandAugment', num_ops=2, magnitude=9))
    results = [augment(dict(clip=frame.repeat(4, 1, 1, 1)))['clip'] for _ in range(100)]
    assert all(clip.dtype == torch.uint8 and clip.shape == (4, 3, 16, 16) for clip in results)
    assert all((clip == clip[:1]).all() for clip in results)
    assert len({tuple(clip[0].flatten().tolist()) for clip in results}) > 30
    # Posterize, which BLIP's set lacks, is among them.
    assert 'Posterize' in augment.augment._AUGMENTATION_SPACE


@pytest.mark.parametrize(
    'question, rstrip, text',
    [
        ('Who runs?', '', 'Who runs??</a>'),
        ('Who runs?', '? ', 'Who runs?</a>'),
        ('Who runs', '? ', 'Who runs?</a>'),
        ('Who ran ? ', '? ', 'Who ran?</a>'),
    ],
)
def test_question_marks(question, rstrip, text):
    assert ComposeText('{question}?</a>', rstrip=rstrip)(dict(question=question, ts=[1, 2]))['text'] == text


def test_only_the_end_of_texts_is_stripped():
    sample = dict(question='Is it? Yes?', ts=[1, 2], n=3)
    assert ComposeText('{question} {ts} {n:03d}?', rstrip='?')(sample)['text'] == 'Is it? Yes [1, 2] 003?'
