"""What every question answering set does: weights, gold answers, the closed list, ids, unreadable clips, batches."""

import json

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from tests import media
from tests.datasets.qa_files import write_json, write_lines
from vlpeft.datasets import AnnotationError, ClipError
from vlpeft.datasets.base_qa import question_type
from vlpeft.registry import DATASETS

PIPELINE = [
    dict(type='LoadClip', num_frames=4),
    dict(type='ClipResize', size=16),
    dict(type='CleanQuestion'),
    dict(type='PackSample'),
]
LINES = [
    dict(video='a.mp4', question='What  sleeps?', answer='cat'),
    dict(video='a.mp4', question="Who's there;", answer=dict(man=1, boy=0.5), start=1, end=2),
    dict(image='c.png', question='how many?', answer='Two'),
    dict(video='a.mp4', question='Is it?', answer='cat'),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('qa')
    media.write_video(folder / 'a.mp4', media.numbered_frames(40))
    media.write_image(folder / 'c.png')
    return folder


def build(root, lines=LINES, name='own.jsonl', **kwargs):
    return DATASETS.build(
        dict(type='JSONLQA', ann_file=write_lines(root / name, lines), **dict(dict(pipeline=PIPELINE), **kwargs))
    )


def test_training_samples_have_weighted_answers(root):
    items = list(build(root))
    assert [
        {key: sample.get(key) for key in ('question', 'answers', 'weights', 'name')}
        for sample in (item['data_samples'] for item in items)
    ] == [
        dict(question='what  sleeps?', answers=['cat'], weights=[1.0], name='a.mp4'),
        dict(question="who's there", answers=['man', 'boy'], weights=[1.0, 0.5], name='a.mp4#t=1,2'),
        dict(question='how many?', answers=['Two'], weights=[1.0], name='c.png'),
        dict(question='is it?', answers=['cat'], weights=[1.0], name='a.mp4'),
    ]
    assert [tuple(item['inputs'].shape) for item in items] == [(4, 3, 16, 16)] * 2 + [(1, 3, 16, 16), (4, 3, 16, 16)]
    assert set(items[0]['data_samples'].keys()) == {'question', 'answers', 'weights', 'name', 'frame_indices'}
    assert items[1]['data_samples'].frame_indices == [11, 13, 16, 18]


def test_test_samples_have_gold_answers_types_and_ids(root):
    samples = [item['data_samples'] for item in build(root, test_mode=True)]
    assert [(s.question_id, s.gold, s.question_type) for s in samples] == [
        (0, ['cat'], 'what'),
        (1, ['man', 'boy'], 'who'),
        (2, ['Two'], 'how'),
        (3, ['cat'], 'other'),
    ]
    assert set(samples[0].keys()) == {'question', 'question_id', 'gold', 'question_type', 'name', 'frame_indices'}


def test_a_test_set_may_lack_answers_but_training_may_not(root):
    lines = [dict(video='a.mp4', question='what?', question_id='q7')]
    sample = build(root, lines, test_mode=True)[0]['data_samples']
    assert sample.question_id == 'q7' and 'gold' not in sample
    with pytest.raises(AnnotationError, match="own.jsonl:1: question 'q7' has no answers"):
        build(root, lines)


def test_the_closed_list_is_the_most_frequent_answers_ties_by_first_appearance(root):
    lines = [dict(video='a.mp4', question='q', answer=answer) for answer in ['b', 'a', 'c', 'a', 'd', 'c', 'b', 'a']]
    write_lines(root / 'train.jsonl', lines)
    assert build(root, test_mode=True, answers_from='train.jsonl').answer_list == ['a', 'b', 'c', 'd']
    assert build(root, test_mode=True, answers_from='train.jsonl', answers_top=2, lazy_init=True).answer_list == [
        'a',
        'b',
    ]
    write_json(root / 'answer_list.json', ['z', 'cat'])
    assert build(root, test_mode=True, answer_file='answer_list.json').answer_list == ['z', 'cat']
    assert build(root, answer_file=str(root / 'answer_list.json')).answer_list == ['z', 'cat']
    assert build(root).answer_list is None


def test_questions_without_a_listed_answer_are_counted_in_the_log(root, caplog, monkeypatch):
    write_json(root / 'answer_list.json', ['boy', 'Two'])
    logger = MMLogger.get_current_instance()  # stands outside of the hierarchy that caplog listens to
    monkeypatch.setattr(logger, 'handlers', [*logger.handlers, caplog.handler])
    dataset = build(root, test_mode=True, answer_file='answer_list.json')
    assert '2 of 4 questions (50.0 %) have no answer among the 2 of the closed list' in caplog.text
    assert len(dataset) == 4


@pytest.mark.parametrize(
    'content, message',
    [
        ({}, 'expected a list of answers'),
        ([], 'expected a list of answers'),
        ([1], 'expected a list of answers'),
        (['a', 'b', 'a'], "'a' is listed more than once"),
    ],
)
def test_malformed_answer_lists(root, content, message):
    write_json(root / 'list.json', content)
    with pytest.raises(AnnotationError, match=f'list.json:1: {message}'):
        build(root, answer_file='list.json')


def test_missing_or_double_answer_lists(root):
    with pytest.raises(AnnotationError, match='gone.json does not exist'):
        build(root, answer_file='gone.json')
    with pytest.raises(ValueError, match='exclude each other'):
        build(root, answer_file='a.json', answers_from='b.jsonl')
    write_lines(root / 'open.jsonl', [dict(video='a.mp4', question='q')])
    with pytest.raises(AnnotationError, match='open.jsonl holds no answers'):
        build(root, answers_from='open.jsonl')


@pytest.mark.parametrize(
    'ids, message',
    [
        ([3, 4, 3], 'own.jsonl:3: question_id 3 was already used at .*own.jsonl:1'),
        ([3, 'x', 4], 'must be all integers or all texts'),
        (['a', None, 'b'], 'must be all integers or all texts'),
        ([1, None, 5], 'own.jsonl:2: question_id 1 was already used'),
    ],
)
def test_ids_of_a_test_set_are_unique_and_of_one_kind(root, ids, message):
    lines = [dict(video='a.mp4', question='q', answer='x', **({} if i is None else dict(question_id=i))) for i in ids]
    with pytest.raises(AnnotationError, match=message):
        build(root, lines, test_mode=True)
    assert len(build(root, lines)) == 3


@pytest.mark.parametrize(
    'line, message',
    [
        (dict(video='a.mp4', qestion='x'), "unknown key 'qestion', is 'question' meant"),
        (dict(question='x', answer='y'), "expected one of 'video' and 'image'"),
        (dict(video='a.mp4', answer='y'), "'question' must be a text"),
        (dict(video='a.mp4', question=' ', answer='y'), "'question' must be a text"),
        (dict(video='a.mp4', question='x', answer=''), "'answer' must be a text or an object"),
        (dict(video='a.mp4', question='x', answer=['y']), "'answer' must be a text or an object"),
        (dict(video='a.mp4', question='x', answer={}), "'answer' must be a text or an object"),
        (dict(video='a.mp4', question='x', answer=dict(y=0)), "the score of 'y' must be a number above 0, got 0"),
        (dict(video='a.mp4', question='x', answer=dict(y='1')), "the score of 'y' must be a number above 0"),
        (dict(video='a.mp4', question='x', answer='y', question_id=1.5), "'question_id' must be an integer or a text"),
        (dict(video='a.mp4', question='x', answer='y', start=3, end=2), 'empty range'),
        (dict(video='../a.mp4', question='x', answer='y'), 'outside the data root'),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(root, line, message):
    with pytest.raises(AnnotationError, match=f'own.jsonl:2: .*{message}|own.jsonl:2: {message}'):
        build(root, [LINES[0], line])


def test_unreadable_clips_are_replaced_in_training_and_marked_or_fatal_in_a_test(root):
    lines = [*LINES[:1], dict(video='gone.mp4', question='lost?', answer='no')]
    assert build(root, lines)[1]['data_samples'].question == 'what  sleeps?'
    with pytest.raises(ClipError, match='gone.mp4: no such file'):
        build(root, lines, test_mode=True)[1]
    sample = build(root, lines, test_mode=True, skip_unreadable=True)[1]['data_samples']
    assert (sample.unreadable, sample.question, sample.question_id, sample.gold) == ('no such file', 'lost?', 1, ['no'])


def test_two_workers_give_batches_and_a_subset_keeps_its_ids(root):
    dataset = dict(
        type='JSONLQA',
        ann_file=write_lines(root / 'own.jsonl', [LINES[0], LINES[1], LINES[3]]),
        pipeline=PIPELINE,
        test_mode=True,
        indices=[2, 0],
    )
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=2,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        seed=0,
    )
    (batch,) = loader
    assert batch['inputs'].shape == (2, 4, 3, 16, 16) and batch['inputs'].dtype == torch.uint8
    assert [sample.question_id for sample in batch['data_samples']] == [2, 0]
    assert json.dumps(batch['data_samples'][0].to_dict())


@pytest.mark.parametrize(
    'question, expected',
    [
        ('what is it?', 'what'),
        ('Who', 'who'),
        ("what's up", 'what'),
        ('  "how many"', 'how'),
        ('when?', 'when'),
        ('where is', 'where'),
        ('is what', 'other'),
        ('whatever', 'other'),
        ('whose', 'other'),
        ('2 what', 'what'),
        ('', 'other'),
    ],
)
def test_question_types(question, expected):
    assert question_type(question) == expected
