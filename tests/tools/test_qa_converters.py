"""The converters of VQA v2, MSRVTT-QA and MSVD-QA on generated annotations of the real size."""

import json

import pytest

from tests.converters import convert
from tests.datasets.qa_files import published, write_json
from vlpeft.registry import DATASETS

MSRVTT = dict(train=(0, 6513, 158581), val=(6513, 497, 12278), test=(7010, 2990, 72821))
MSVD = dict(train=(1, 1200, 30933), val=(1201, 250, 6415), test=(1451, 520, 13157))
WORDS = ('what', 'who', 'how', 'when', 'where')


def write_video_qa(folder, splits):
    """Questions of the real number; answer k of 2,000 is given the more often the smaller k is."""
    folder.mkdir(exist_ok=True)
    first = 0
    for split, (start, clips, count) in splits.items():
        rows = [
            (start + n % clips, f'{WORDS[n % 5]} is {n}?', f'answer{min(n % 2000, n % 1999)}') for n in range(count)
        ]
        write_json(folder / f'{split}_qa.json', published(rows, first))
        first += count


def build(kind, folder, ann_file, **kwargs):
    return DATASETS.build(dict(type=kind, data_root=str(folder), ann_file=ann_file, test_mode=True, **kwargs))


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_msrvtt_qa_has_the_published_size_and_misses_are_listed(tmp_path):
    write_video_qa(tmp_path, MSRVTT)
    (tmp_path / 'videos').mkdir()
    (tmp_path / 'videos/video6513.mp4').touch()
    code, text = convert('msrvtt_qa.py', tmp_path, tmp_path / 'out')
    assert code == 0 and text.count('(written)') == 4
    assert 'train: 6,513 clips, 158,581 questions' in text and 'test: 2,990 clips, 72,821 questions' in text
    assert 'media: 1 of 10,000' in text and 'missing: video0.mp4' in text and 'answers: 1,500' in text
    media = dict(data_prefix=dict(media=str(tmp_path / 'videos')))
    theirs = infos(build('VideoQA', tmp_path, 'val_qa.json'))
    assert infos(build('VideoQA', tmp_path / 'out', 'val_qa.jsonl', **media)) == theirs
    own = infos(build('JSONLQA', tmp_path / 'out', 'val_qa.jsonl', **media))
    keys = ('question', 'question_id', 'gold', 'question_type', 'path')
    assert [[info[key] for key in keys] for info in own] == [[info[key] for key in keys] for info in theirs]


def test_msvd_qa_gets_the_clips_names_and_is_written_once(tmp_path):
    write_video_qa(tmp_path, MSVD)
    (tmp_path / 'youtube_mapping.txt').write_text(''.join(f'name{n}_0_9 vid{n}\n' for n in range(1, 1971)))
    (tmp_path / 'videos').mkdir()
    (tmp_path / 'videos/name1451_0_9.mp4').touch()
    code, text = convert('msvd_qa.py', tmp_path, tmp_path / 'out', '--splits', 'train', 'test')
    assert code == 0 and 'test: 520 clips, 13,157 questions' in text and 'media: 1 of 1,720' in text
    first = json.loads((tmp_path / 'out/test_qa.jsonl').read_text().splitlines()[0])
    assert first == dict(video='name1451_0_9.mp4', question='what is 0?', answer='answer0', question_id=30933 + 6415)
    theirs = build('VideoQA', tmp_path, 'test_qa.json', mapping='youtube_mapping.txt', answers_from='train_qa.json')
    ours = build(
        'VideoQA',
        tmp_path / 'out',
        'test_qa.jsonl',
        answer_file='answer_list.json',
        data_prefix=dict(media=str(tmp_path / 'videos')),
    )
    assert infos(ours) == infos(theirs) and ours.answer_list == theirs.answer_list and len(ours.answer_list) == 1500
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    assert sorted(path.name for path in before) == ['answer_list.json', 'test_qa.jsonl', 'train_qa.jsonl']
    code, text = convert('msvd_qa.py', tmp_path, tmp_path / 'out', '--splits', 'train', 'test')
    assert code == 0 and text.count('(unchanged)') == 3
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}


@pytest.mark.parametrize(
    'script, expected',
    [
        ('msrvtt_qa.py', 'found 2 clips with 2 questions, expected 497 clips with 12,278 questions'),
        ('msvd_qa.py', 'found 2 clips with 2 questions, expected 6,415 questions'),
    ],
)
def test_wrong_sizes_and_missing_files_are_not_converted(tmp_path, script, expected):
    write_json(tmp_path / 'val_qa.json', published([(0, 'what?', 'x'), (1, 'who?', 'y')]))
    (tmp_path / 'youtube_mapping.txt').write_text('a vid0\nb vid1\n')
    code, text = convert(script, tmp_path, tmp_path / 'out')
    assert code == 1 and f'val: NOT converted: {expected}' in text
    assert 'train: NOT converted: annotation file' in text and 'answers' not in text
    assert not (tmp_path / 'out').exists()


def write_vqav2(folder, subset, images, questions):
    """visualqa.org's two files; the second only where answers are public."""
    rows = [dict(question_id=n, image_id=n % images, question=f'is it {n}?') for n in range(questions)]
    write_json(folder / f'v2_OpenEnded_mscoco_{subset}_questions.json', dict(data_subtype=subset, questions=rows))
    if not subset.startswith('test'):
        answers = [dict(answer='yes'), dict(answer='no')]
        write_json(
            folder / f'v2_mscoco_{subset}_annotations.json',
            dict(annotations=[dict(row, answers=answers, question_type='is it', answer_type='yes/no') for row in rows]),
        )


def test_vqav2_becomes_blips_layout(tmp_path):
    write_vqav2(tmp_path, 'test-dev2015', 36807, 107394)
    write_vqav2(tmp_path, 'val2014', 40504, 214354)
    (tmp_path / 'val2014').mkdir()
    (tmp_path / 'val2014/COCO_val2014_000000000005.jpg').touch()
    code, text = convert('vqav2.py', tmp_path, tmp_path, '--splits', 'val', 'test-dev')
    assert code == 0 and 'val: 40,504 clips, 214,354 questions' in text and '107,394 questions' in text
    assert 'media: 1 of 77,311' in text and 'missing: val2014/COCO_val2014_000000000000.jpg' in text
    assert f"vg_qa.json: missing in {tmp_path} (Visual Genome's questions" in text
    assert 'answer_list.json: missing' in text
    entry = json.loads((tmp_path / 'vqa_val.json').read_text())[7]
    assert entry == dict(
        question_id=7,
        question='is it 7?',
        answer=['yes', 'no'],
        dataset='vqa',
        image='val2014/COCO_val2014_000000000007.jpg',
        question_type='is it',
        answer_type='yes/no',
    )
    entries = json.loads((tmp_path / 'vqa_test-dev.json').read_text())
    write_json(tmp_path / 'few.json', entries[:9])
    first, *_ = infos(build('VQAv2', tmp_path, 'few.json'))
    assert (first['name'], first['question']) == ('test2015/COCO_test2015_000000000000.jpg', 'is it 0?')
    assert len(entries) == 107394 and 'gold' not in first


def test_vqav2_refuses_a_cut_file_and_names_the_missing_one(tmp_path):
    write_vqav2(tmp_path, 'val2014', 3, 9)
    write_json(tmp_path / 'answer_list.json', ['yes'])
    code, text = convert('vqav2.py', tmp_path, tmp_path)
    assert code == 1
    assert 'val: NOT converted: found 3 clips with 9 questions, expected 40,504 clips with 214,354 questions' in text
    assert 'v2_mscoco_train2014_annotations.json does not exist' in text and 'answer_list.json: there' in text
    assert not list(tmp_path.glob('vqa_*'))


@pytest.mark.parametrize(
    'script, words',
    [
        ('vqav2.py', ['v2_OpenEnded_mscoco_', 'vg_qa.json', 'answer_list.json', 'test-dev']),
        ('msrvtt_qa.py', ['train_qa.json', 'answer_list.json', '1,500']),
        ('msvd_qa.py', ['youtube_mapping.txt', 'vid1', '.avi']),
    ],
)
def test_help_says_what_goes_where(script, words):
    code, text = convert(script, '--help')
    assert code == 0
    assert [word for word in [*words, '--splits', 'Exit code', 'Example:', script] if word not in text] == []
