"""Questions are cleaned as BLIP's were: characters deleted, white space kept."""

import pytest

from vlpeft.datasets.transforms import clean_question
from vlpeft.registry import TRANSFORMS


@pytest.mark.parametrize(
    'text, released, trimmed',
    [
        ('What is the MAN doing?', 'what is the man doing?', 'what is the man doing?'),
        ('.!"()*#:;~', '', ''),
        ('one.two(three)four:five', 'onetwothreefourfive', 'onetwothreefourfive'),
        (
            "what's on the dog-leash / rope, 50% [off]?",
            "what's on the dog-leash / rope, 50% [off]?",
            "what's on the dog-leash / rope, 50% [off]?",
        ),
        ('  two  blanks  ', '  two  blanks', 'two blanks'),
        ('is it red?\n', 'is it red?\n', 'is it red?'),
        ('is it red? \n', 'is it red? \n', 'is it red?'),
        ('a\tb', 'a\tb', 'a b'),
        ('who : or what', 'who  or what', 'who or what'),
    ],
)
def test_released_and_trimmed(text, released, trimmed):
    assert clean_question(text) == released
    assert clean_question(text, trim=True) == trimmed
    assert clean_question(trimmed, trim=True) == trimmed


def test_only_the_first_words_are_kept_and_a_double_blank_counts_as_a_word():
    words = [f'w{number}' for number in range(60)]
    assert clean_question(' '.join(words)) == ' '.join(words[:50])
    assert clean_question('a  b c d', max_words=3) == 'a  b'
    assert clean_question('a  b c d', max_words=3, trim=True) == 'a b c'


def test_the_transform_cleans_the_question_alone():
    clean = TRANSFORMS.build(dict(type='CleanQuestion', max_words=2))
    assert clean(dict(question='IS it; red?', answers=['Yes!'])) == dict(question='is it', answers=['Yes!'])
    trim = TRANSFORMS.build(dict(type='CleanQuestion', trim=True))
    assert trim(dict(question=' is  it?')) == dict(question='is it?')
