"""VQA v2, GQA and NLVR2 in VL-T5's layout."""

import json

import pytest
import torch
from mmengine.dataset import BaseDataset

from tests.datasets.qa_files import ten, write_json
from tests.media import write_image
from vlpeft.datasets import AnnotationError, ClipError
from vlpeft.registry import DATASETS, TRANSFORMS

QUESTION = dict(
    img_id='COCO_val2014_000000000042',
    question_id=1,
    sent='how many?',
    label={'2': 1, 'two': 0.3},
    question_type='how many',
    answer_type='number',
)
GQA = dict(img_id='n161313', question_id='05515938', sent='What is it?', label=dict(cat=1.0))
STATEMENT = dict(
    identifier='train-10171-0-1',
    img0='train-10171-0-img0',
    img1='train-10171-0-img1',
    label=1,
    sent='Both are red.',
    uid='nlvr2_train_0',
)


def build(kind, root, entries, **kwargs) -> BaseDataset:
    write_json(root / 'own.json', entries)
    return DATASETS.build(dict(type=kind, data_root=str(root), ann_file='own.json', **kwargs))


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_vqa_keeps_unanswered_questions_where_the_mean_is_over_them_too(tmp_path):
    entries = [QUESTION, dict(QUESTION, question_id=2, label={}), dict(QUESTION, question_id=3, label=dict(a=0))]
    first, second, third = infos(build('VQAv2', tmp_path, entries, keep_unanswered=True))
    assert first == dict(
        name=QUESTION['img_id'],
        question='how many?',
        answers=['2', 'two'],
        weights=[1.0, 0.3],
        path=str(tmp_path / 'val2014/COCO_val2014_000000000042.jpg'),
        media='image',
        sample_idx=0,
    )
    assert (second['answers'], second['weights']) == ([], []) and third['weights'] == [0.0]
    assert len(build('VQAv2', tmp_path, entries)) == 2


def test_vqa_tests_have_labels_beside_all_ten_answers(tmp_path):
    answers = [dict(answer=answer) for answer in ten(two=7, three=3)]
    write_json(tmp_path / 'answers.json', dict(annotations=[dict(question_id=1, answers=answers)]))
    (info,) = infos(build('VQAv2', tmp_path, [QUESTION], annotations='answers.json', test_mode=True))
    assert info['gold'] == ['two'] * 7 + ['three'] * 3 and info['label'] == {'2': 1, 'two': 0.3}
    assert (info['question_id'], info['answer_type']) == (1, 'number') and 'weights' not in info


def test_gqa(tmp_path):
    (train,) = infos(build('GQA', tmp_path, [GQA]))
    assert train == dict(
        name='n161313',
        question='What is it?',
        answers=['cat'],
        weights=[1.0],
        media='image',
        path=str(tmp_path / 'n161313.jpg'),
        sample_idx=0,
    )
    unlabelled = dict({key: GQA[key] for key in ('img_id', 'question_id')}, question='Who?')
    first, second = infos(build('GQA', tmp_path, [GQA, dict(unlabelled, question_id='6')], test_mode=True))
    assert (first['question_id'], first['label'], first['gold']) == ('05515938', dict(cat=1.0), ['cat'])
    assert second['question'] == 'Who?' and not {'label', 'gold'} & second.keys()
    with pytest.raises(AnnotationError, match="question '05515938' has no answers, training needs them"):
        build('GQA', tmp_path, [unlabelled])


def test_gqa_files_are_joined(tmp_path):
    for name, count in (('train', 3), ('valid', 2)):
        write_json(tmp_path / f'{name}.json', [dict(GQA, question_id=f'{name}{i}') for i in range(count)])
    parts = [dict(type='GQA', data_root=str(tmp_path), ann_file=f'{name}.json') for name in ('train', 'valid')]
    assert len(DATASETS.build(dict(type='ConcatDataset', datasets=parts))) == 5


def test_nlvr2_has_two_images_and_a_verdict(tmp_path):
    dev = dict(STATEMENT, identifier='dev-850-0-0', img0='dev-850-0-img0', img1='dev-850-0-img1', label=0)
    entries = [STATEMENT, dev, dict(STATEMENT, identifier='train-10171-0-0', directory='34')]
    first, second, third = infos(build('NLVR2', tmp_path, entries))
    assert first == dict(
        name='train-10171-0-1',
        names=['train-10171-0-img0', 'train-10171-0-img1'],
        statement='Both are red.',
        paths=[str(tmp_path / f'train/train-10171-0-img{i}.png') for i in (0, 1)],
        media='image',
        answers=['true'],
        weights=[1.0],
        sample_idx=0,
    )
    assert second['answers'] == ['false'] and second['paths'][0] == str(tmp_path / 'dev/dev-850-0-img0.png')
    assert third['paths'][1] == str(tmp_path / 'train/34/train-10171-0-img1.png')
    test, *_ = infos(build('NLVR2', tmp_path, entries, test_mode=True))
    assert (test['question_id'], test['gold']) == ('train-10171-0-1', ['true']) and 'answers' not in test


def test_unreadable_features_are_replaced_or_marked_for_one_image_and_for_two(tmp_path):
    @TRANSFORMS.register_module(force=True)
    class StoredLengths:
        """A reader of names that knows those of the second pair alone."""

        def __call__(self, results):
            if results['name'] != 'dev-1-0-0':
                raise ClipError(results['names'][0], 'no such file')
            results['features'] = torch.tensor([[len(name)] for name in results['names']])
            return results

    entries = [STATEMENT, dict(STATEMENT, identifier='dev-1-0-0', img0='a', img1='bc')]
    steps = [
        dict(type='StoredLengths'),
        dict(type='ComposeText', template='{statement}'),
        dict(type='PackSample', task='nlvr2'),
    ]
    train = build('NLVR2', tmp_path, entries, pipeline=steps)[0]
    assert train['inputs'].tolist() == [[1], [2]]
    test = build('NLVR2', tmp_path, entries, pipeline=steps, test_mode=True, skip_unreadable=True)[0]
    sample = test['data_samples']
    assert test['inputs'].tolist() == [[1], [2]] and sample.unreadable == 'no such file'
    assert sample.name == sample.question_id == 'train-10171-0-1'


def test_pixels_of_both_images_are_stacked(tmp_path):
    (tmp_path / 'train').mkdir()
    for number in (0, 1):
        write_image(tmp_path / f'train/train-10171-0-img{number}.png', seed=number)
    steps = [
        dict(type='LoadImages', size=16),
        dict(type='ComposeText', template='nlvr: {statement}'),
        dict(type='PackSample', task='nlvr2'),
    ]
    item = build('NLVR2', tmp_path, [STATEMENT], pipeline=steps, test_mode=True)[0]
    assert item['inputs'].shape == (2, 3, 16, 16) and item['data_samples'].text == 'nlvr: Both are red.'
    assert json.dumps(item['data_samples'].to_dict())


@pytest.mark.parametrize(
    'kind, change, message',
    [
        ('VQAv2', dict(label=dict(a=-1)), "'label': the score of 'a' must be a number from 0, got -1"),
        ('VQAv2', dict(label=['a']), "'label' must be an object"),
        ('GQA', dict(label=dict(a='1')), "'label': the score of 'a' must be a number from 0, got '1'"),
        ('GQA', dict(img_id=5), "'img_id' must be a text"),
        ('GQA', dict(question_id=1.5), "'question_id' must be a text or an integer"),
        ('GQA', dict(sent=''), "'sent' must be a text"),
        ('GQA', dict(img_id='../../x'), 'outside the data root'),
        ('NLVR2', dict(identifier='train-1-0'), "'identifier' must be like train-10171-0-0, got 'train-1-0'"),
        ('NLVR2', dict(label=2), "'label' must be 0 or 1, got 2"),
        ('NLVR2', dict(label=True), "'label' must be an integer"),
        ('NLVR2', dict(img1=None), "'img1' must be a text"),
        ('NLVR2', dict(sent=None), "'sent' must be a text"),
        ('NLVR2', dict(directory='../../..'), 'outside the data root'),
    ],
)
def test_broken_records_are_named_by_file_and_entry(tmp_path, kind, change, message):
    good = dict(VQAv2=QUESTION, GQA=GQA, NLVR2=STATEMENT)[kind]
    with pytest.raises(AnnotationError, match=rf'own.json:\d+: entry\[1\]: .*{message}'):
        build(kind, tmp_path, [good, dict(good, **change)])
