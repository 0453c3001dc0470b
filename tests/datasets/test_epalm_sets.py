"""Video questions and captions in eP-ALM's layout, and captions in COCO's."""

import pytest

from tests.datasets.qa_files import write_json, write_lines
from tests.media import numbered_frames, write_video
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS

QUESTION = dict(video='video7.mp4', question_id='7', sent='how many?', label={'two': 1.0, '2': 0.5})
CAPTION = dict(video='video7.mp4', caption=['a dog', 'it runs'])
NOCAPS = dict(
    images=[dict(id=4, file_name='a/x.jpg', domain='in-domain'), dict(id=2, file_name='y.jpg')],
    annotations=[
        dict(id=1, image_id=2, caption='a cat'),
        dict(id=2, image_id=4, caption='a dog'),
        dict(id=3, image_id=2, caption='the cat'),
    ],
)


def build(kind, root, content, name='own.json', write=write_json, **kwargs):
    (root / 'videos').mkdir(exist_ok=True)
    write(root / name, content)
    return DATASETS.build(dict(type=kind, data_root=str(root), ann_file=name, **kwargs))


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_video_questions_have_scored_answers(tmp_path):
    (train,) = infos(build('VideoQA', tmp_path, [QUESTION]))
    assert train == dict(
        name='video7',
        question='how many?',
        answers=['two', '2'],
        weights=[1.0, 0.5],
        media='video',
        path=str(tmp_path / 'videos/video7.mp4'),
        sample_idx=0,
    )
    (test,) = infos(build('VideoQA', tmp_path, [QUESTION], test_mode=True))
    assert (test['question_id'], test['question_type'], test['gold']) == ('7', 'how', ['two', '2'])
    assert test['label'] == QUESTION['label'] and 'weights' not in test


def test_a_single_answer_has_the_score_one(tmp_path):
    record = dict(video='video7', question='how many?', question_id=7, answer='two')
    (test,) = infos(build('VideoQA', tmp_path, [record], test_mode=True))
    assert (test['gold'], test['label']) == (['two'], {'two': 1.0})


@pytest.mark.parametrize('name, write', [('own.json', write_json), ('own.jsonl', write_lines)])
def test_video_captions(tmp_path, name, write):
    records = [CAPTION, dict(video='b.avi', caption='a cat'), dict(video='video7.mp4', caption='brown')]
    (tmp_path / 'videos').mkdir()
    write_video(tmp_path / 'videos/b.mp4', numbered_frames(2))
    train = infos(build('VideoCaption', tmp_path, records, name, write))
    assert [(item['name'], item['caption']) for item in train] == [
        ('video7', 'a dog'),
        ('video7', 'it runs'),
        ('b', 'a cat'),
        ('video7', 'brown'),
    ]
    first, second = infos(build('VideoCaption', tmp_path, records, name, write, test_mode=True))
    assert first == dict(
        name='video7',
        sample_id='video7',
        path=str(tmp_path / 'videos/video7.mp4'),
        media='video',
        references=['a dog', 'it runs', 'brown'],
        sample_idx=0,
    )
    assert second['path'] == str(tmp_path / 'videos/b.mp4') and second['references'] == ['a cat']


def test_coco_captions(tmp_path):
    test = infos(build('COCOCaption', tmp_path, NOCAPS, test_mode=True))
    assert [(item['sample_id'], item['name'], item['references']) for item in test] == [
        (4, 'x', ['a dog']),
        (2, 'y', ['a cat', 'the cat']),
    ]
    assert test[0]['path'] == str(tmp_path / 'a/x.jpg') and test[0]['media'] == 'image'
    train = infos(build('COCOCaption', tmp_path, NOCAPS))
    assert [(item['name'], item['caption']) for item in train] == [('x', 'a dog'), ('y', 'a cat'), ('y', 'the cat')]


def test_captions_that_are_not_public_make_a_test_set_but_no_training_set(tmp_path):
    private = dict(images=NOCAPS['images'])
    test = infos(build('COCOCaption', tmp_path, private, test_mode=True))
    assert [item['sample_id'] for item in test] == [4, 2] and not any('references' in item for item in test)
    with pytest.raises(AnnotationError, match=r'own.json:\d+: images\[0\]: no captions, training needs them'):
        build('COCOCaption', tmp_path, private)


@pytest.mark.parametrize(
    'kind, records, message',
    [
        ('VideoQA', [dict(QUESTION, label=dict(a='1'))], "the score of 'a' must be a number from 0, got '1'"),
        ('VideoQA', [dict(QUESTION, video=7)], "'video' must be a text"),
        ('VideoQA', [dict(QUESTION, sent='')], "'sent' must be a text"),
        ('VideoCaption', [dict(CAPTION, caption=[])], "'caption' must be a text or a list of texts"),
        ('VideoCaption', [dict(caption='x')], "'video' must be a text; keys found: caption"),
        ('VideoCaption', [dict(CAPTION, video='../../x.mp4')], 'outside the data root'),
    ],
)
def test_broken_video_records_are_named(tmp_path, kind, records, message):
    good = dict(VideoQA=QUESTION, VideoCaption=CAPTION)[kind]
    with pytest.raises(AnnotationError, match=rf'own.json:\d+: entry\[1\]: .*{message}'):
        build(kind, tmp_path, [good, *records])


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(images=[*NOCAPS['images'], dict(id=4, file_name='z.jpg')]),
            r'images\[2\]: id 4 was already used at .*\[0\]',
        ),
        (dict(images=[dict(id='4', file_name='z.jpg')]), r"images\[0\]: 'id' must be an integer"),
        (dict(images=[dict(id=4)], annotations=[]), r"images\[0\]: 'file_name' must be a text"),
        (dict(annotations=[dict(image_id=5, caption='x')]), r'annotations\[0\]: no image has the id 5'),
        (dict(annotations=[dict(image_id=4, caption='')]), r"annotations\[0\]: 'caption' must be a text"),
        (dict(images=None), "expected a list 'images'"),
    ],
)
def test_broken_coco_files_are_named(tmp_path, change, message):
    with pytest.raises(AnnotationError, match=rf'own.json:\d+: {message}'):
        build('COCOCaption', tmp_path, dict(NOCAPS, **change), test_mode=True)
