"""Tokens in Python against values read off PTBTokenizer, a committed fixture of them, and, where it is, the program."""

import random

import pytest

from tests.evaluation.caption_fixture import load, needs_java
from vlpeft.evaluation.functional.captions import choose_tokenizer, ptb_tokens, tokenize


@pytest.mark.parametrize(
    'caption, expected',
    [
        ('', ''),
        ('.', ''),
        (' \n\t ', ''),
        ('?!', '?!'),
        ('A man rides a horse.', 'a man rides a horse'),
        # words that are split
        ("a man's T-shirt doesn't fit", "a man 's t-shirt does n't fit"),
        ('it’s don’t', "it 's do n't"),
        ("dogs' we're I'd've cannot", "dogs we 're i 'd 've can not"),
        ("gonna wannabe 'tis y'all", "gon na wannabe 't is y' all"),
        # words that keep their apostrophe
        ("O'Brien o'clock rock 'n' roll 'em '90s 90's", "o'brien o'clock rock 'n' roll 'em '90s 90 's"),
        # periods
        ('Mr. Smith at 5 p.m. in the U.S.', 'mr. smith at 5 p.m. in the u.s.'),
        ('no. 5 says no. Then yes.', 'no. 5 says no then yes'),
        ('the end.Then', 'the end.then'),
        ('wait... what.. now', 'wait what now'),
        # numbers and signs
        ('$5 50% 1,000.50 12:30 1/2 ½ #1 #cat', '$ 5 50 % 1,000.50 12:30 1/2 1/2 # 1 #cat'),
        ('2 1/2 cups', '2\u00a01/2 cups'),
        ('£5 €5 ₹5', '# 5 $ 5 5'),
        ('red,blue and/or AT&T a&b', 'red blue and/or at&t a & b'),
        # quotes, brackets, dashes
        ('“hello” ‘hi’ "yes" \'no\'', 'hello hi yes no'),
        ('a (red) [blue] cat', 'a -lrb- red -rrb- -lsb- blue -rsb- cat'),
        ('a--b — c - d-e', 'a b c d-e'),
        ('<unk> :)', '<unk> :-rrb-'),
        # unicode: letters stay, emoji go
        ('Café in ZÜRICH 日本 Москва', 'café in zürich 日本 москва'),
        ('a cat 😀 a😀b ❤️ soft\u00adhyphen', 'a cat a b ❤ softhyphen'),
    ],
)
def test_tokens_read_off_the_java_program(caption, expected):
    assert ' '.join(ptb_tokens(caption)) == expected


def fixture_texts():
    content = load()
    texts = [text for item in content['texts'] for text in (item['prediction'], *item['references'])]
    tokens = [text for item in content['tokens'] for text in (item['prediction'], *item['references'])]
    return texts, tokens


def test_fixture_is_worth_something():
    content = load()
    assert len(content['texts']) >= 50
    predictions = [item['prediction'] for item in content['texts']]
    assert '' in predictions and any(not text.isascii() for text in predictions)
    assert len({len(item['references']) for item in content['texts']}) > 1


def test_python_gives_the_fixtures_tokens():
    texts, tokens = fixture_texts()
    assert tokenize(texts, 'python') == tokens


@needs_java
def test_java_gives_the_fixtures_tokens():
    texts, tokens = fixture_texts()
    assert tokenize(texts, 'java') == tokens


@needs_java
def test_python_equals_java_on_random_captions():
    draw = random.Random(0)
    words = """a the man woman's dogs' T-shirt don't isn't I'm they're cannot 5 12 3.5 1,000 10:30 p.m. U.S. Mr. etc.
        vs. O'Brien o'clock 1950's '50s 2nd 1/2 and/or AT&T 7-eleven black-and-white gonna 'em café Zürich it’s “hello”
        (red) [blue] $5 50% #1 & ½ £5 日本 😀 ❤️ TVs sky tree's""".split()
    marks = [' '] * 12 + [', ', '. ', '! ', ': ', '; ', ' - ', '... ', '" ', ' "', '? ', ' — ']
    captions = []
    for _ in range(3000):
        captions.append(''.join(draw.choice(words) + draw.choice(marks) for _ in range(draw.randint(1, 12))))
    differ = [
        (caption, java, python)
        for caption, java, python in zip(captions, tokenize(captions, 'java'), tokenize(captions, 'python'))
        if java != python
    ]
    assert not differ, f'{len(differ)} differ, the first: {differ[:3]}'


@needs_java
def test_java_keeps_captions_apart_and_in_order():
    """pycocoevalcap's wrapper would shift all captions after one with a line separator."""
    captions = ['', 'a\rb', 'c\u2028d', 'e\x0bf', '', 'g\r\nh', '', '']
    assert tokenize(captions, 'java') == ['', 'a b', 'c d', 'e f', '', 'g h', '', '']
    assert tokenize(captions, 'python') == tokenize(captions, 'java')
    assert tokenize([], 'java') == tokenize([], 'python') == []


def test_choice_of_the_tokenizer(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="unknown tokenizer 'ptb', valid: auto, java, python"):
        choose_tokenizer('ptb')
    monkeypatch.setenv('PATH', str(tmp_path))
    assert choose_tokenizer() == choose_tokenizer('python') == 'python'
    with pytest.raises(RuntimeError, match='needs the command java on PATH'):
        choose_tokenizer('java')
    program = tmp_path / 'java'
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    assert choose_tokenizer() == choose_tokenizer('java') == 'java'
