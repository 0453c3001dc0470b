"""The converters to VL-T5's layout (VQA v2 on Karpathy's splits, GQA, NLVR2) and the check of VALUE's files."""

import json

import pytest

from tests.converters import convert
from tests.datasets.qa_files import official, ten, write_json, write_lines
from tests.datasets.seq2seq_files import write_tree
from vlpeft.registry import DATASETS


def infos(kind, folder, ann_file, **kwargs):
    dataset = DATASETS.build(dict(type=kind, data_root=str(folder), ann_file=ann_file, **kwargs))
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def write_official(folder):
    """Nine questions agree on '2', whatever its spelling, eight on 'cup', which is one too few."""
    train = [(1000 + n, 1, f'how many {n}?', ten(**{'2': 7}, two=3), 'how many', 'number') for n in range(7)]
    train += [(1010 + n, 1, f'what {n}?', ten(cup=10), 'what', 'other') for n in range(7)]
    val = [
        (2000, 2, 'a?', ten(**{'2': 1}, cup=9), 'what', 'other'),
        (2001, 2, 'b?', ten(cup=10), 'what', 'other'),
        (3000, 3, 'c?', ten(**{'2': 2}, two=8), 'what', 'other'),
        (4000, 4, 'd?', ten(**{'2': 3}, four=7), 'what', 'other'),
        (4001, 4, 'e?', ten(**{'2': 4}, cup=6), 'what', 'other'),
    ]
    agreed = {2000: 'Two.', 2001: 'cup', 3000: 'two', 4000: 'four', 4001: 'four'}
    agreed.update({number: 'cup' for number in range(1010, 1017)})
    for year, rows in (('train2014', train), ('val2014', val)):
        questions, annotations = official(year, rows)
        for entry in annotations['annotations']:
            entry['multiple_choice_answer'] = agreed.get(entry['question_id'], '2')
        write_json(folder / f'v2_OpenEnded_mscoco_{year}_questions.json', questions)
        write_json(folder / f'v2_mscoco_{year}_annotations.json', annotations)
    splits = [('train', 'train2014', 1), ('restval', 'val2014', 2), ('test', 'val2014', 3), ('val', 'val2014', 4)]
    write_json(
        folder / 'dataset_coco.json',
        dict(
            images=[
                dict(filename=f'COCO_{below}_{number:012d}.jpg', filepath=below, split=split, sentences=[dict(raw='x')])
                for split, below, number in splits
            ]
        ),
    )


def test_vqa_is_split_by_karpathys_images_and_scored_by_the_annotators(tmp_path):
    write_official(tmp_path)
    (tmp_path / 'val2014').mkdir()
    (tmp_path / 'val2014/COCO_val2014_000000000003.jpg').touch()
    out = tmp_path / 'out'
    code, text = convert('vqa_karpathy.py', tmp_path, out)
    assert code == 0 and text.count('(written)') == 3 and 'media: 1 of 4' in text
    assert 'found 2 clips with 16 questions, expected 113,287 clips with 605,102 questions; is a file cut off' in text
    split = {name: json.loads((out / f'karpathy_{name}.json').read_text()) for name in ('train', 'val', 'test')}
    assert [[entry['question_id'] for entry in split[name]] for name in split] == [
        [*range(1000, 1007), *range(1010, 1017), 2000, 2001],
        [4000, 4001],
        [3000],
    ]
    assert split['train'][0] == dict(
        img_id='COCO_train2014_000000000001',
        question_id=1000,
        sent='how many 0?',
        label={'2': 1},
        question_type='how many',
        answer_type='number',
    )
    labels = {entry['question_id']: entry['label'] for entries in split.values() for entry in entries}
    assert {number: labels[number] for number in (2000, 2001, 3000, 4000, 4001)} == {
        2000: {'2': 0.3},
        2001: {},
        3000: {'2': 0.6},
        4000: {'2': 0.9},
        4001: {'2': 1},
    }
    first, *_ = infos('VQAv2', out, 'karpathy_train.json')
    assert (first['answers'], first['weights'], first['name']) == (['2'], [1.0], 'COCO_train2014_000000000001')


def test_vqa_converts_again_without_change_and_names_what_is_missing(tmp_path):
    write_official(tmp_path)
    out = tmp_path / 'out'
    convert('vqa_karpathy.py', tmp_path, out)
    code, text = convert('vqa_karpathy.py', tmp_path, out)
    assert code == 0 and text.count('(unchanged)') == 3
    write_json(tmp_path / 'v2_mscoco_val2014_annotations.json', dict(annotations=[]))
    code, text = convert('vqa_karpathy.py', tmp_path, out, '--splits', 'val')
    assert code == 1 and 'val: NOT converted' in text and 'question 2000 has no answers in' in text
    (tmp_path / 'dataset_coco.json').unlink()
    code, text = convert('vqa_karpathy.py', tmp_path, out)
    assert code == 1 and 'dataset_coco.json does not exist' in text


def test_gqa(tmp_path):
    question = dict(imageId='2354786', question='What is it?', answer='pipe', fullAnswer='A pipe.', isBalanced=True)
    write_json(tmp_path / 'train_balanced_questions.json', {'07333408': question, '9': dict(question, imageId='n1')})
    unanswered = {key: question[key] for key in ('imageId', 'question')}
    write_json(tmp_path / 'submission_all_questions.json', {'1': unanswered})
    write_json(tmp_path / 'testdev_balanced_questions.json', {'2': unanswered})
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/n1.jpg').touch()
    code, text = convert('gqa.py', tmp_path, tmp_path / 'out', '--splits', 'train', 'submit', 'testdev', 'valid')
    assert code == 1 and 'found 2 clips with 2 questions, expected 943,000 questions' in text
    assert 'testdev: NOT converted' in text and "question '2': 'answer' must be a text" in text
    assert 'valid: NOT converted: annotation file' in text and 'media: 1 of 2' in text
    assert json.loads((tmp_path / 'out/train.json').read_text())[0] == dict(
        img_id='2354786', question_id='07333408', sent='What is it?', label=dict(pipe=1.0)
    )
    first, _ = infos('GQA', tmp_path / 'out', 'train.json')
    assert (first['question'], first['answers']) == ('What is it?', ['pipe'])
    (test,) = infos('GQA', tmp_path / 'out', 'submit.json', test_mode=True)
    assert 'gold' not in test
    write_json(tmp_path / 'train_balanced_questions.json', [question])
    assert 'expected an object {question id:' in convert('gqa.py', tmp_path, tmp_path / 'out', '--splits', 'train')[1]


def test_nlvr2(tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    rows = [
        dict(identifier='train-10171-0-1', sentence='Both are red.', label='True', directory=34, synset='x'),
        dict(identifier='train-10171-1-0', sentence='None is.', label='False'),
    ]
    write_lines(source / 'train.json', rows)
    write_lines(source / 'dev.json', [dict(rows[0], label='yes')])
    (tmp_path / 'images/train/34').mkdir(parents=True)
    (tmp_path / 'images/train/34/train-10171-0-img1.png').touch()
    arguments = (source, tmp_path / 'out', '--media', tmp_path / 'images')
    code, text = convert('nlvr2.py', *arguments)
    assert code == 1 and 'train: 4 clips, 2 statements' in text and 'expected 86,373 statements' in text
    assert "dev.json:1: 'label' must be True or False, got 'yes'" in text and 'media: 1 of 4' in text
    assert 'missing: train/34/train-10171-0-img0.png' in text and 'missing: train/train-10171-1-img0.png' in text
    first, second = infos('NLVR2', tmp_path / 'out', 'train.json', test_mode=True)
    assert (first['statement'], first['gold'], first['names']) == (
        'Both are red.',
        ['true'],
        ['train-10171-0-img0', 'train-10171-0-img1'],
    )
    assert second['gold'] == ['false'] and first['paths'][0].endswith('train/34/train-10171-0-img0.png')
    assert '(unchanged)' in convert('nlvr2.py', *arguments, '--splits', 'train')[1]
    code, text = convert('nlvr2.py', source, source)
    assert code == 1 and 'SRC and DST must differ' in text


def test_value_reports_records_subtitles_and_features(tmp_path):
    video = write_tree(tmp_path) / 'data/vlpet/video'
    (video / 'vis_features/yc2/clip-vit/s02.npz').unlink()
    code, text = convert('value.py', video)
    assert code == 0
    assert 'tvqa train: 2 records of 2 videos, expected 122,039; cut off or of another release?' in text
    assert 'yc2c test_release: 2 records of 2 videos\n' in text and 'tvc subtitles: 2 of 2 videos\n' in text
    assert 'yc2c features in' in text and ': 1 of 2 videos, missing: s02\n' in text
    ann = video / 'ann'
    (ann / 'tvqa/tvqa_val.jsonl').write_text('{"qid": 1}\n')
    (ann / 'tv_subtitles.jsonl').unlink()
    code, text = convert('value.py', video, '--tasks', 'tvqa')
    assert code == 1 and 'tvqa val: NOT usable' in text and "tvqa_val.jsonl:1: 'a0' must be a text" in text
    assert 'tvqa subtitles: NOT usable' in text and 'tv_subtitles.jsonl does not exist' in text and 'tvc' not in text


@pytest.mark.parametrize(
    'script, words',
    [
        ('vqa_karpathy.py', ['dataset_coco.json', 'v2_OpenEnded_mscoco_', 'karpathy_{train,val,test}.json', '3,129']),
        ('gqa.py', ['train_balanced', 'submission_all', 'img_id']),
        ('nlvr2.py', ['test1.json', 'directory']),
        ('value.py', ['tv,how2,yc2', '--tasks', 'Nothing is written']),
    ],
)
def test_help_says_what_goes_where(script, words):
    code, text = convert(script, '--help')
    assert code == 0
    assert [word for word in [*words, 'Exit code', 'Example:', script] if word not in text] == []
