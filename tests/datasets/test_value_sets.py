"""TVQA, How2QA, TVC and YC2C as the VALUE benchmark ships them."""

import pytest
from mmengine.logging import MMLogger

from tests.datasets.qa_files import write_lines
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

SUBTITLES = [
    dict(
        vid_name='s01',
        sub=[
            dict(text=' Chase : That is  all?', start=0.8, end=1.8),
            dict(text=' ', start=2, end=3),
            dict(text='Yes.\n', start=3, end=4),
        ],
    ),
    dict(vid_name='s02', sub=[]),
    dict(vid_name='other', sub=[dict(text='no')]),
]
QUESTION = dict(
    qid=7,
    vid_name='s01',
    show_name='House',
    q='Why?',
    a0=' He left. ',
    a1='..A. B. C.',
    a2='',
    a3='U.S.A',
    a4='five .',
    ts='20.16-25.12',
    answer_idx=1,
)
MOMENT = dict(
    vid_name='s01',
    duration=61.4,
    ts=[16.48, 33.87],
    clip_id=86603,
    descs=[dict(desc='a man walks', desc_id=1, type='v'), dict(desc='he talks', desc_id=2, type='t')],
)


def build(kind, root, lines, subtitles=SUBTITLES, **kwargs):
    write_lines(root / 'subtitles.jsonl', subtitles)
    write_lines(root / 'own.jsonl', lines)
    return DATASETS.build(
        dict(type=kind, data_root=str(root), ann_file='own.jsonl', subtitles='subtitles.jsonl', **kwargs)
    )


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def without(record, *keys):
    return {key: value for key, value in record.items() if key not in keys}


def test_a_question_has_subtitles_choices_and_the_answers_letter(tmp_path):
    (info,) = infos(build('VALUEQuestions', tmp_path, [QUESTION], num_choices=5))
    assert info == dict(
        name='s01',
        path=str(tmp_path / 's01.mp4'),
        media='video',
        question='Why?',
        ts='20.16-25.12',
        choices='a0: He left. a1: A. B. C. a2: . a3: U.S.A. a4: five.',
        subtitles='Chase : That is all? Yes.',
        answers=['a1'],
        weights=[1.0],
        sample_idx=0,
    )


def test_four_choices_and_tests_without_answers(tmp_path):
    lines = [without(QUESTION, 'a4', 'show_name'), without(QUESTION, 'a4', 'answer_idx')]
    lines[1]['qid'] = 8
    first, second = infos(build('VALUEQuestions', tmp_path, lines, num_choices=4, test_mode=True))
    assert (first['question_id'], first['gold']) == (7, ['a1']) and first['choices'].endswith('a3: U.S.A.')
    assert second['question_id'] == 8 and 'gold' not in second
    with pytest.raises(AnnotationError, match='own.jsonl:2: question 8 has no answers, training needs them'):
        build('VALUEQuestions', tmp_path, lines, num_choices=4)


def test_training_has_an_item_for_each_description(tmp_path):
    items = infos(build('VALUECaptions', tmp_path, [MOMENT, dict(without(MOMENT, 'ts', 'clip_id'), vid_name='s02')]))
    assert [(item['name'], item['caption'], item['subtitles']) for item in items] == [
        ('s01', 'a man walks', 'Chase : That is all? Yes.'),
        ('s01', 'he talks', 'Chase : That is all? Yes.'),
        ('s02', 'a man walks', ''),
        ('s02', 'he talks', ''),
    ]
    assert items[0]['ts'] == [16.48, 33.87] and 'ts' not in items[2] and 'sample_id' not in items[0]


def test_a_test_has_an_item_for_each_moment_and_what_a_submission_names(tmp_path):
    lines = [
        MOMENT,
        dict(without(MOMENT, 'descs'), clip_id=86604),
        without(MOMENT, 'clip_id'),
        dict(without(MOMENT, 'clip_id'), ts=[0, 1]),
    ]
    items = infos(build('VALUECaptions', tmp_path, lines, test_mode=True))
    assert [(item['sample_id'], item.get('references')) for item in items] == [
        ('86603', ['a man walks', 'he talks']),
        ('86604', None),
        ('s01[16.48, 33.87]', ['a man walks', 'he talks']),
        ('s01[0, 1]', ['a man walks', 'he talks']),
    ]
    assert (items[1]['vid_name'], items[1]['clip_id'], items[1]['ts']) == ('s01', 86604, [16.48, 33.87])
    with pytest.raises(AnnotationError, match='own.jsonl:2: no captions, training needs them'):
        build('VALUECaptions', tmp_path, lines)


def test_videos_without_subtitles_are_counted_and_a_wrong_file_is_refused(tmp_path, caplog, monkeypatch):
    logger = MMLogger.get_current_instance()  # stands outside of the hierarchy that caplog listens to
    monkeypatch.setattr(logger, 'handlers', [*logger.handlers, caplog.handler])
    lines = [QUESTION, dict(QUESTION, vid_name='s03'), dict(QUESTION, vid_name='s04')]
    _, lost, _ = infos(build('VALUEQuestions', tmp_path, lines, num_choices=5))
    assert '2 of 3 videos have no subtitles in' in caplog.text and "such as 's03'" in caplog.text
    assert lost['subtitles'] == ''
    with pytest.raises(AnnotationError, match="no subtitles of the videos of .*own.jsonl, such as 's01'"):
        build('VALUEQuestions', tmp_path, lines, subtitles=SUBTITLES[2:], num_choices=5)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(a3=None), "'a3' must be a text, one of 5 choices; keys found: qid"),
        (dict(a5='x'), "'a5' is more than the 5 choices expected"),
        (dict(answer_idx=5), r"'answer_idx' must lie in 0\.\.4, got 5"),
        (dict(answer_idx='1'), "'answer_idx' must be an integer"),
        (dict(ts=None), '\'ts\' must be like "20.16-25.12" or .*, got None'),
        (dict(ts=[1]), r"'ts' must be like .* got \[1\]"),
        (dict(q=''), "'q' must be a text"),
        (dict(vid_name=3), "'vid_name' must be a text"),
        (dict(qid=None), "'qid' must be an integer or a text"),
        (dict(vid_name='../../x'), 'outside the data root'),
    ],
)
def test_broken_questions_are_named_by_file_and_line(tmp_path, change, message):
    with pytest.raises(AnnotationError, match=f'own.jsonl:2: .*{message}|own.jsonl:2: {message}'):
        build('VALUEQuestions', tmp_path, [QUESTION, dict(QUESTION, **change)], num_choices=5)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(descs='x'), "expected a list 'descs'"),
        (dict(descs=[dict(desc=3)]), r"descs\[0\]: 'desc' must be a text"),
        (dict(ts=['a', 'b']), "'ts' must be like"),
        (dict(clip_id=1.5), "'clip_id' must be an integer or a text"),
    ],
)
def test_broken_moments_are_named_by_file_and_line(tmp_path, change, message):
    with pytest.raises(AnnotationError, match=f'own.jsonl:2: .*{message}'):
        build('VALUECaptions', tmp_path, [MOMENT, dict(MOMENT, **change)])


@pytest.mark.parametrize(
    'line, message',
    [
        (dict(vid_name='s01'), "expected a list 'sub'"),
        (dict(vid_name='s01', sub=[dict(start=1)]), "every entry of 'sub' must have a 'text'"),
        (dict(sub=[]), "'vid_name' must be a text"),
    ],
)
def test_broken_subtitles_are_named_by_file_and_line(tmp_path, line, message):
    with pytest.raises(AnnotationError, match=f'subtitles.jsonl:2: .*{message}'):
        build('VALUEQuestions', tmp_path, [QUESTION], subtitles=[SUBTITLES[0], line], num_choices=5)
