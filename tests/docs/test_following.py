"""A page that says what is not so does not pass: commands, options, printed lines and code."""

import pytest

from tests.docs.following import Reader, masked

FENCES = '```{}\n{}\n```\n'
RIGHT = FENCES.format('bash', 'vlpeft list msrvtt_heads') + FENCES.format('python', "print('a 7')")


def follow(*blocks: tuple[str, str], **options) -> None:
    reader = Reader('.', **options)
    reader.follow('page.md', ''.join(FENCES.format(*block) for block in blocks))


def test_what_is_so_passes():
    follow(
        ('bash', 'vlpeft list blip_msrvtt_heads  # a comment\nvlpeft show \\\n    uniadapter/blip_msrvtt --recipe'),
        ('python', "print('loss 2.5 after 3 steps')"),
        ('text', 'loss 0.125 after 60 steps\n…'),
        ('json', '{"nothing": "is done"}'),
    )


@pytest.mark.parametrize(
    'block, error, message',
    [
        (('bash', 'vlpeft lisst'), AssertionError, "'lisst'.* ended with 2"),
        (('bash', 'vlpeft show uniadapter/blip_msrvtt --recipes'), AssertionError, 'ended with 2'),
        (('bash', 'vlpeft params uniadapter/blip_msrvt'), AssertionError, 'ended with 2'),
        (('bash', 'rm -r data'), AssertionError, 'not a command of vlpeft'),
        (('bash', 'python tools/misc/list_registry.py --registry NONE'), AssertionError, 'ended with'),
        (('python', 'import vlpeft\nvlpeft.atach'), AttributeError, 'atach'),
        (('python', 'print(undefined)'), NameError, 'undefined'),
        (('text', 'accuracy 16.67'), AssertionError, 'said, but not printed'),
    ],
)
def test_what_is_not_so_does_not(block, error, message):
    with pytest.raises(error, match=message):
        follow(block)


def test_blocks_share_their_names_and_a_later_line_is_not_taken_for_an_earlier_one():
    follow(('python', 'a = 1'), ('python', "print(f'a is {a}')"), ('text', 'a is 5'))
    with pytest.raises(AssertionError, match='said, but not printed'):
        follow(('text', 'a is 5'), ('python', "print('a is 5')"))


def test_texts_are_replaced_and_what_is_left_out_must_be_there():
    follow(('python', "assert 'LARGE' == 'tiny'"), instead=dict(LARGE='tiny'))
    follow(('bash', 'vlpeft dist-train  CONFIG 8'), left_out={'vlpeft dist-train CONFIG 8': 'needs GPUs'})
    with pytest.raises(AssertionError, match='has no'):
        follow(('bash', 'vlpeft list blip'), left_out={'vlpeft dist-train CONFIG 8': 'needs GPUs'})


def test_numbers_and_machines_are_masked_and_words_are_not():
    same = masked('epoch 1/5  loss 5.025  lr 1.0e-04  epoch_1.pth  best so far')
    assert same == masked('epoch 3/5   loss 4  lr 2.5e-05  epoch_3.pth')
    assert masked('CIDEr 1.0  METEOR 0.00  tokenizer java') == masked('CIDEr 2.0  tokenizer python')
    assert masked('t2v_R@1 16.67') != masked('v2t_R@1 16.67')
