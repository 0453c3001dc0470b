"""Captions are cleaned as BLIP's were."""

import pytest

from vlpeft.datasets.transforms import clean_caption
from vlpeft.registry import TRANSFORMS


@pytest.mark.parametrize(
    'text, cleaned',
    [
        ('A Man, RUNNING!', 'a man, running'),
        ('.!"()*#:;~', ''),
        ('one.two(three)four:five', 'one two three four five'),
        ("it's a dog-show / 50% off? [yes] & <no>", "it's a dog-show / 50% off? [yes] & <no>"),
        ('  two   blanks \n', 'two blanks'),
        ('Été à la MER', 'été à la mer'),
        ('a ... b', 'a b'),
        ('a\tb c', 'a\tb c'),
        ('a\t\tb\t c \nd', 'a b c d'),
        ('a\nb', 'a\nb'),
        ('a.\tb', 'a b'),
        ('\ta', '\ta'),
        ('a\t', 'a\t'),
        ('a\n', 'a'),
        ('a b.\n', 'a b'),
        ('', ''),
    ],
)
def test_punctuation_case_and_blanks(text, cleaned):
    assert clean_caption(text) == cleaned
    assert clean_caption(cleaned) == cleaned


def test_only_the_first_words_are_kept():
    words = [f'w{number}' for number in range(60)]
    assert clean_caption(' '.join(words)) == ' '.join(words[:50])
    assert clean_caption(' '.join(words[:50])) == ' '.join(words[:50])
    assert clean_caption('a\tb c d', max_words=2) == 'a\tb c'
    assert TRANSFORMS.build(dict(type='CleanText'))(dict(text=' '.join(words)))['text'] == ' '.join(words[:30])
    assert clean_caption('a; b c d', max_words=3) == 'a b c'


def test_the_transform_cleans_one_or_all_captions():
    clean = TRANSFORMS.build(dict(type='CleanText', max_words=2))
    assert clean(dict(text='A b; C')) == dict(text='a b')
    assert clean(dict(texts=['A!', 'B c d'])) == dict(texts=['a', 'b c'])
