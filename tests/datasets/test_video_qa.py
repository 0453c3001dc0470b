"""MSRVTT-QA and MSVD-QA in every layout, and the shipped configs on real clips."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.datasets.qa_files import published, write_json, write_lines, write_videos
from vlpeft.datasets import AnnotationError
from vlpeft.registry import DATASETS, METRICS

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
TRAIN = [(0, 'what is sleeping?', 'cat'), (0, 'who is it?', 'man'), (1, 'how many?', 'two'), (1, 'what runs?', 'cat')]
TEST = [(1, 'where is it?', 'beach'), (0, 'what sleeps?', 'cat')]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Both sets: MSR-VTT's numbered clips, MSVD's named ones with their mapping."""
    folder = tmp_path_factory.mktemp('qa')
    write_videos(folder / 'msrvtt' / 'videos', ['video0.mp4', 'video1.mp4'])
    write_videos(folder / 'msvd' / 'videos', ['-4wsuPCjDBc_5_15.avi', 'mv89psg6zh4_33_46.mp4'])
    (folder / 'msvd' / 'youtube_mapping.txt').write_text('-4wsuPCjDBc_5_15 vid0\nmv89psg6zh4_33_46 vid1\n\n')
    for name in ('msrvtt', 'msvd'):
        for split, rows, first in (('train', TRAIN, 0), ('val', TEST[:1], 50), ('test', TEST, 90)):
            write_json(folder / name / f'{split}_qa.json', published(rows, first))
    return folder


def build(folder, ann_file='test_qa.json', **kwargs):
    return DATASETS.build(dict(type='VideoQA', data_root=str(folder), ann_file=ann_file, **kwargs))


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_msrvtt_as_published(root):
    first, second = infos(build(root / 'msrvtt', test_mode=True, answers_from='train_qa.json'))
    assert first == dict(
        name='video1',
        path=str(root / 'msrvtt/videos/video1.mp4'),
        media='video',
        question='where is it?',
        question_id=90,
        gold=['beach'],
        label=dict(beach=1.0),
        question_type='where',
        sample_idx=0,
    )
    assert (second['question_id'], second['question_type']) == (91, 'what')
    train = infos(build(root / 'msrvtt', 'train_qa.json'))
    assert [(info['name'], info['answers'], info['weights']) for info in train] == [
        ('video0', ['cat'], [1.0]),
        ('video0', ['man'], [1.0]),
        ('video1', ['two'], [1.0]),
        ('video1', ['cat'], [1.0]),
    ]


def test_msvd_names_come_from_the_mapping_and_files_may_be_re_encoded(root):
    first, second = infos(build(root / 'msvd', test_mode=True, mapping='youtube_mapping.txt'))
    assert (first['name'], first['path']) == ('mv89psg6zh4_33_46', str(root / 'msvd/videos/mv89psg6zh4_33_46.mp4'))
    assert (second['name'], second['path']) == ('-4wsuPCjDBc_5_15', str(root / 'msvd/videos/-4wsuPCjDBc_5_15.avi'))


@pytest.mark.parametrize('write, name', [(write_json, 'named.json'), (write_lines, 'named.jsonl')])
def test_lists_and_lines_that_name_the_video(root, write, name):
    write(
        root / 'msrvtt' / name,
        [
            dict(video='video1.mp4', question='where is it?', question_id=90, answer='beach'),
            dict(video='video0', question='what sleeps?', question_id=91, answer='cat'),
        ],
    )
    assert infos(build(root / 'msrvtt', name, test_mode=True)) == infos(build(root / 'msrvtt', test_mode=True))


@pytest.mark.parametrize(
    'record, message',
    [
        (dict(question='x', answer='y', id=1), "'video_id' must be an integer; keys found: question, answer, id"),
        (dict(video_id='0', question='x', answer='y', id=1), "'video_id' must be an integer"),
        (dict(video_id=0, question='x', answer='y'), "'question_id' must be an integer or a text"),
        (dict(video_id=0, answer='y', id=1), "'question' must be a text"),
        (dict(video_id=0, question='x', answer='', id=1), "'answer' must be a text"),
        (dict(video='../../x.mp4', question='x', answer='y', id=1), 'outside the data root'),
    ],
)
def test_broken_annotations_are_named(root, record, message):
    write_json(root / 'msrvtt' / 'broken.json', [*published(TEST), record])
    with pytest.raises(AnnotationError, match=rf'broken.json:\d+: entry\[2\]: .*{message}'):
        build(root / 'msrvtt', 'broken.json')


def test_broken_mappings_are_named(root):
    folder = root / 'msvd'
    with pytest.raises(AnnotationError, match='gone.txt does not exist'):
        build(folder, mapping='gone.txt')
    (folder / 'short.txt').write_text('-4wsuPCjDBc_5_15 vid0\n')
    with pytest.raises(AnnotationError, match=r'test_qa.json:\d+: entry\[0\]: the mapping file has no vid1'):
        build(folder, mapping='short.txt')
    (folder / 'swapped.txt').write_text('\nvid0 -4wsuPCjDBc_5_15\n')
    with pytest.raises(AnnotationError, match="swapped.txt:2: expected a clip's name and its number, .* got 'vid0 "):
        build(folder, mapping='swapped.txt')


@pytest.mark.parametrize('name, folder', [('msrvtt_qa', 'msrvtt'), ('msvd_qa', 'msvd')])
def test_configs_load_train_and_evaluate_the_test_split(root, name, folder):
    config = Config.fromfile(str(CONFIGS / f'{name}.py'))
    assert (config.train_dataloader.batch_size, config.val_dataloader.dataset.ann_file) == (8, 'val_qa.json')
    loaders = {}
    for part in ('train', 'test'):
        loader = config[f'{part}_dataloader']
        loader.update(num_workers=0, batch_size=4, pin_memory=False, persistent_workers=False)
        loader.pop('worker_init_fn', None)
        loader.dataset.data_root = str(root / folder)
        loaders[part] = Runner.build_dataloader(loader, seed=0)
    (batch,) = loaders['train']
    assert batch['inputs'].shape == (4, 8, 3, 224, 224)
    (batch,) = loaders['test']
    assert batch['inputs'].shape == (2, 8, 3, 224, 224)
    answers = loaders['test'].dataset.answer_list
    assert answers == ['cat', 'man', 'two']
    metric = METRICS.build(config.test_evaluator)
    metric.process(None, [dict(sample.to_dict(), pred_answer=answers[0]) for sample in batch['data_samples']])
    assert metric.evaluate(2) == {
        'open_ended/accuracy': 50.0,
        'open_ended/question_type/what': 100.0,
        'open_ended/question_type/where': 0.0,
    }
