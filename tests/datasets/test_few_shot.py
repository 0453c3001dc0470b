"""A declared part of a set: how many, which, and that seeds nest."""

import logging

import pytest
from mmengine.logging import MMLogger

from tests.datasets.qa_files import write_lines
from vlpeft.datasets.few_shot import take_fraction
from vlpeft.registry import DATASETS

SAMPLES = list(range(1000))


@pytest.mark.parametrize('seed', [0, 7, 'first'])
def test_parts_nest_keep_the_order_and_repeat(seed):
    tenth, hundredth = take_fraction(SAMPLES, 0.1, seed), take_fraction(SAMPLES, 0.01, seed)
    assert len(tenth) == 100 and len(hundredth) == 10
    assert set(hundredth) < set(tenth) and tenth == sorted(tenth)
    assert take_fraction(SAMPLES, 0.1, seed) == tenth and take_fraction(SAMPLES, 1, seed) == SAMPLES


def test_seeds_differ_and_the_first_are_the_first():
    assert take_fraction(SAMPLES, 0.1, 'first') == SAMPLES[:100]
    first, second = set(take_fraction(SAMPLES, 0.1, 0)), set(take_fraction(SAMPLES, 0.1, 1))
    # Two tenths of a thousand share some ten samples.
    assert 1 < len(first & second) < 30
    # The draw is over the whole set: in each half some fifty.
    assert 30 < sum(sample < 500 for sample in first) < 70


@pytest.mark.parametrize(
    'fraction, count', [(512 / 443757, 512), (0.01, 4437), (0.0012, 532), (1e-9, 1), (1.0, 443757)]
)
def test_the_count_is_rounded_down_and_never_zero(fraction, count):
    assert len(take_fraction(range(443757), fraction, 'first')) == count


def build(root, **kwargs):
    return DATASETS.build(dict(type='JSONLQA', data_root=str(root), ann_file='own.jsonl', **kwargs))


def write(root):
    write_lines(root / 'own.jsonl', [dict(image=f'{i}.png', question='what?', answer='x') for i in range(50)])


def test_a_set_keeps_its_part_and_says_so(tmp_path):
    write(tmp_path)
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        for test_mode in (False, True):
            dataset = build(tmp_path, fraction=0.1, seed=3, test_mode=test_mode)
            whole = build(tmp_path, test_mode=test_mode)
            names = [dataset.get_data_info(index)['name'] for index in range(len(dataset))]
            assert names == take_fraction([whole.get_data_info(index)['name'] for index in range(50)], 0.1, 3)
        build(tmp_path, fraction=0.5, seed='first')
    finally:
        logger.removeHandler(handler)
    assert [message.partition('own.jsonl: ')[2] for message in messages if 'samples' in message] == [
        '5 of 50 samples (fraction=0.1), drawn with seed 3'
    ] * 2 + ['25 of 50 samples (fraction=0.5), the first ones']


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(fraction=0.1), r"seed=0 draws the samples, seed='first' takes the first ones"),
        (dict(seed=0), 'fraction and seed belong together, got fraction=None, seed=0'),
        (dict(fraction=0, seed=0), r'fraction must be a number in \(0, 1\], got 0'),
        (dict(fraction=1.5, seed=0), r'fraction must be a number in \(0, 1\], got 1.5'),
        (dict(fraction=0.1, seed=-1), "seed must be an integer from 0 or 'first', got -1"),
        (dict(fraction=0.1, seed='last'), "seed must be an integer from 0 or 'first', got 'last'"),
    ],
)
def test_what_is_not_declared_is_refused(tmp_path, arguments, message):
    write(tmp_path)
    with pytest.raises(ValueError, match=message):
        build(tmp_path, **arguments)
