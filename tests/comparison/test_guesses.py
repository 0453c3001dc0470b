"""Guesses against counts that a reader can make."""

import json

import pytest
from PIL import Image

from vlpeft.comparison.guesses import guess
from vlpeft.comparison.study import StudyError, read_study
from vlpeft.engine.config_file import read_config

CONFIG = """
_base_ = 'vlpeft::_base_/datasets/epalm_jsonl_qa.py'
data_root = {root!r}
train_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
"""
ASKED = dict(
    train=[('how many?', '2'), ('how many?', '2'), ('how many?', '3'), ('red?', 'no'), ('red?', 'yes'), ('dry?', 'no')]
    + [('dry?', 'no')],
    test=[('how many?', '2'), ('how many?', '3'), ('red?', 'no'), ('red?', 'yes'), ('new?', 'no'), ('dry?', 'yes')],
)


@pytest.fixture
def config(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    for split, rows in ASKED.items():
        lines = [json.dumps(dict(image='a.png', question=question, answer=answer)) for question, answer in rows]
        (tmp_path / f'{split}.jsonl').write_text('\n'.join(lines))
    (tmp_path / 'asked.py').write_text(CONFIG.format(root=f'{tmp_path}/'))
    return tmp_path / 'asked.py'


@pytest.mark.parametrize(
    'way, answers, right',
    [
        # 'no' is said three times, '2' twice to 'how many?'; to 'red?' both are said once, and 'no' is first by letter.
        ('majority', ['no'] * 6, 2),
        ('question', ['2', '2', 'no', 'no', 'no', 'no'], 3),
    ],
)
def test_guesses(config, way, answers, right):
    result = guess(read_config(config), way)
    assert [row['answer'] for row in result['predictions']['open_ended']] == answers
    assert result['metrics']['open_ended/accuracy'] == pytest.approx(100 * right / 6)


def test_an_unknown_guess_is_refused(config):
    (config.parent / 'study.yml').write_text(
        'title: T\nmetric: open_ended/accuracy\nseeds: [0]\nmethods:\n  blind: {config: asked.py, guess: best}\n'
    )
    with pytest.raises(StudyError, match="guess: 'best' is none of majority, question"):
        read_study(config.parent / 'study.yml')


TASKS = """
_base_ = './asked.py'
named = dict(type='JSONLCaption', data_root={root!r}, ann_file='named.jsonl', pipeline=[])
train_dataloader = dict(
    dataset=dict(_delete_=True, type='MultiTaskDataset', tasks=dict(caption=named, vqa=_base_.train_dataloader.dataset))
)
test_dataloader = dict(
    _delete_=True, caption=dict(dataset=named), vqa=dict(dataset=_base_.test_dataloader.dataset)
)
test_evaluator = dict(_delete_=True, caption=dict(type='CaptionMetric'), vqa=dict(type='OpenEndedMetric'))
"""


def test_of_several_tasks_the_questions_are_guessed(config):
    (config.parent / 'named.jsonl').write_text(json.dumps(dict(image='a.png', caption=['a shape'])))
    (config.parent / 'tasks.py').write_text(TASKS.format(root=f'{config.parent}/'))
    result = guess(read_config(config.parent / 'tasks.py'), 'question')
    assert list(result['predictions']) == ['vqa/open_ended']
    assert result['metrics']['vqa/open_ended/accuracy'] == pytest.approx(50)


def test_without_questions_there_is_nothing_to_guess(config):
    (config.parent / 'named.jsonl').write_text(json.dumps(dict(image='a.png', caption=['a shape'])))
    text = TASKS.format(root=f'{config.parent}/').replace('vqa=_base_.train_dataloader.dataset', 'other=named')
    (config.parent / 'named.py').write_text(text)
    with pytest.raises(StudyError, match='there is no question to guess the answer of'):
        guess(read_config(config.parent / 'named.py'), 'majority')
