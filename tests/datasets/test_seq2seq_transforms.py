"""Texts, targets and images of sequence-to-sequence samples."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from vlpeft.datasets import ClipError
from vlpeft.datasets.transforms import ComposeText, DrawTarget, LoadImages


def test_answers_are_drawn_by_their_share_and_keep_their_weight():
    torch.manual_seed(0)
    draws = Counter()
    for _ in range(4000):
        drawn = DrawTarget()(dict(answers=['cup', 'mug', 'pot'], weights=[1.0, 0.6, 0.0]))
        draws[drawn['target'], drawn['weight']] += 1
    assert set(draws) == {('cup', 1.0), ('mug', 0.6)}
    # 0.6 / 1.6 of 4,000 draws, four standard deviations either way
    assert abs(draws['mug', 0.6] - 1500) < 4 * (4000 * 0.375 * 0.625) ** 0.5


@pytest.mark.parametrize('answers, weights', [([], []), (['cup', 'mug'], [0.0, 0])])
def test_without_a_scored_answer_the_target_is_empty_and_weighs_nothing(answers, weights):
    drawn = DrawTarget()(dict(answers=answers, weights=weights))
    assert (drawn['target'], drawn['weight']) == ('', 0.0)


def test_a_caption_is_a_target_of_weight_one():
    drawn = DrawTarget()(dict(caption='a cat'))
    assert (drawn['target'], drawn['weight']) == ('a cat', 1.0)


def test_templates_are_filled_and_texts_are_taken_as_they_are():
    sample = dict(question='what is {this}?', ts=[1.5, 2.25], subtitles='  x')
    text = ComposeText('vqa: {question} ({ts}) {subtitles} {{}}: ')(sample)['text']
    assert text == 'vqa: what is {this}? ([1.5, 2.25])   x {}: '
    assert ComposeText('caption: ')({})['text'] == 'caption: '


def test_a_missing_field_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'nlvr: \{statement\}' asks for 'statement'; the sample has name, question"):
        ComposeText('nlvr: {statement}')(dict(question='x', name='y'))


@pytest.mark.parametrize(
    'template, message',
    [
        ('vqa: {}', 'fields must be plain names'),
        ('{question.x}', 'fields must be plain names'),
        ('{question[0]}', 'fields must be plain names'),
        ('{question', "expected '}'"),
    ],
)
def test_malformed_templates_are_refused(template, message):
    with pytest.raises(ValueError, match=message):
        ComposeText(template)


def test_images_become_squares_by_bicubic_interpolation(tmp_path):
    # Mid greys: where values overshoot, torch and PIL clip at different points.
    paths = []
    for name, size in (('a.png', (96, 160, 3)), ('b.png', (50, 40, 3))):
        paths.append(str(tmp_path / name))
        Image.fromarray(np.random.default_rng(0).integers(90, 160, size, dtype=np.uint8)).save(paths[-1])
    images = LoadImages(size=32)(dict(paths=paths))['features']
    assert images.shape == (2, 3, 32, 32) and images.dtype == torch.uint8
    for path, image in zip(paths, images):
        expected = np.asarray(Image.open(path).resize((32, 32), Image.BICUBIC), np.int16).transpose(2, 0, 1)
        assert np.abs(image.numpy().astype(np.int16) - expected).max() <= 1
    single = LoadImages(size=32)(dict(path=paths[1]))['features']
    assert torch.equal(single, images[1:])
    with pytest.raises(ClipError, match='gone.png: no such file'):
        LoadImages()(dict(paths=[paths[0], str(tmp_path / 'gone.png')]))
