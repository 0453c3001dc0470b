"""The converters of COCO, Flickr30K, DiDeMo and MSVD on generated annotations of the real size."""

import json
import os
import pickle
import subprocess
import sys

import pytest

from tests.converters import CONVERTERS, convert
from vlpeft.registry import DATASETS

COCO = dict(train=82783, restval=30504, val=5000, test=5000)
FLICKR30K = dict(train=29000, val=1014, test=1000)
DIDEMO = dict(train=8395, val=1065, test=1004)
MSVD = dict(train=1200, val=100, test=670)
# Captions beyond the fifth, which some of COCO's images have.
EXTRA = dict(train=198, restval=114, val=10, test=10)


def karpathy_entries(parts, folder, extra):
    """Karpathy's entries, split by split; the first ``extra[split]`` images have a sixth caption."""
    for split, count in parts.items():
        for number in range(count):
            texts = [dict(raw=f'{split} {number} {i}') for i in range(5 + (number < extra.get(split, 0)))]
            entry = dict(filename=f'{split}_{number}.jpg', split=split, sentences=texts)
            yield entry if folder is None else dict(entry, filepath=folder)


def write_karpathy(path, parts, folder=None, extra={}):
    path.write_text(json.dumps(dict(images=list(karpathy_entries(parts, folder, extra)))))


def write_blip(folder, pattern, parts, below):
    """BLIP's three files with the same content."""
    lists = dict(train=[], val=[], test=[])
    for entry in karpathy_entries(parts, None, {}):
        image, texts = f'{below}/{entry["filename"]}', [text['raw'] for text in entry['sentences']]
        split = 'train' if entry['split'] == 'restval' else entry['split']
        lists[split] += (
            [dict(image=image, caption=text) for text in texts]
            if split == 'train'
            else [dict(image=image, caption=texts)]
        )
    for split, entries in lists.items():
        (folder / pattern.format(split)).write_text(json.dumps(entries))


def write_didemo(folder):
    for split, count in DIDEMO.items():
        entries = [dict(video=f'{split}_{n % count}.mov', description=f'part {n // count}') for n in range(2 * count)]
        (folder / f'{split}_data.json').write_text(json.dumps(entries))


def write_msvd(folder):
    captions = {}
    for split, count in MSVD.items():
        names = [f'{split}_{number}' for number in range(count)]
        captions.update({name: [['a', name], ['the', name]] for name in names})
        (folder / f'{split}_list.txt').write_text('\n'.join(names))
    (folder / 'raw-captions.pkl').write_bytes(pickle.dumps(captions))


def build(kind, root, ann_file, **kwargs):
    return DATASETS.build(dict(type=kind, data_root=str(root), ann_file=ann_file, test_mode=True, **kwargs))


def same_set(ours, theirs):
    return (ours.texts, ours.text_to_clip) == (theirs.texts, theirs.text_to_clip) and (
        [ours.get_data_info(n)['path'] for n in range(len(ours))]
        == [theirs.get_data_info(n)['path'] for n in range(len(theirs))]
    )


def test_coco_from_karpathys_file(tmp_path):
    write_karpathy(tmp_path / 'dataset_coco.json', COCO, 'val2014', EXTRA)
    code, text = convert('coco.py', tmp_path, tmp_path)
    assert code == 0 and text.count('(written)') == 3
    assert 'train: 113,287 clips, 566,747 captions' in text
    assert 'val: 5,000 clips, 25,010 captions' in text and 'test: 5,000 clips, 25,010 captions' in text
    assert 'media: 0 of 123,287' in text and '… and 123,277 more' in text
    ours = build('JSONLRetrieval', tmp_path, 'test.jsonl')
    assert same_set(ours, build('KarpathyRetrieval', tmp_path, 'dataset_coco.json', split='test'))


def test_flickr30k_from_both_layouts_is_the_same_and_written_once(tmp_path):
    write_blip(tmp_path, 'flickr30k_{}.json', FLICKR30K, 'flickr30k-images')
    (tmp_path / 'flickr30k-images').mkdir()
    (tmp_path / 'flickr30k-images/val_1.jpg').touch()
    code, text = convert('flickr30k.py', tmp_path, tmp_path / 'out')
    assert code == 0 and 'train: 29,000 clips, 145,000 captions' in text and text.count('(written)') == 3
    assert 'media: 1 of 31,014' in text and 'missing: flickr30k-images/train_0.jpg' in text
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    assert sorted(path.name for path in before) == ['test.jsonl', 'train.jsonl', 'val.jsonl']
    write_karpathy(tmp_path / 'dataset_flickr30k.json', FLICKR30K)
    for split in FLICKR30K:
        (tmp_path / f'flickr30k_{split}.json').unlink()
    code, text = convert('flickr30k.py', tmp_path, tmp_path / 'out')
    assert code == 0 and text.count('(unchanged)') == 3
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}


def test_didemo_names_the_files_that_are_there(tmp_path):
    write_didemo(tmp_path)
    (tmp_path / 'clips').mkdir()
    (tmp_path / 'clips/test_3.mov.mp4').touch()
    code, text = convert('didemo.py', tmp_path, tmp_path, '--media', tmp_path / 'clips')
    assert code == 0 and 'train: 8,395 clips, 8,395 captions' in text and 'val: 1,065 clips' in text
    assert f'media: 1 of 10,464 in {tmp_path / "clips"}' in text and 'missing: train_0.mov' in text
    lines = [json.loads(line) for line in (tmp_path / 'test.jsonl').read_text().splitlines()]
    assert lines[3] == dict(video='test_3.mov.mp4', caption='part 0 part 1', end=30) and len(lines) == 1004
    media = dict(data_prefix=dict(media='clips'))
    ours = build('JSONLRetrieval', tmp_path, 'test.jsonl', **media)
    theirs = build('DiDeMoRetrieval', tmp_path, 'test_data.json', **media)
    assert same_set(ours, theirs) and ours.get_data_info(3)['end'] == theirs.get_data_info(3)['end'] == 30


def test_msvd_leaves_the_pickle_behind(tmp_path):
    write_msvd(tmp_path)
    code, text = convert('msvd.py', tmp_path, tmp_path)
    assert code == 0 and 'test: 670 clips, 1,340 captions' in text
    assert f'media: no folder {tmp_path / "videos"} (put the files there, such as train_0.avi' in text
    (tmp_path / 'videos').mkdir()
    ours = build('JSONLRetrieval', tmp_path, 'test.jsonl', data_prefix=dict(media='videos'))
    assert same_set(ours, build('MSVDRetrieval', tmp_path, 'raw-captions.pkl', split='test'))


@pytest.mark.parametrize(
    'script, name, content, expected',
    [
        (
            'coco.py',
            'coco_karpathy_val.json',
            [dict(image='a.jpg', caption=['x', 'y'])],
            'found 1 clips with 2 captions, expected 5,000 clips with 25,010 captions',
        ),
        (
            'flickr30k.py',
            'flickr30k_val.json',
            [dict(image=f'{n}.jpg', caption=['x'] * 4) for n in range(1014)],
            'found 1,014 clips with 4,056 captions, expected 1,014 clips with 5,070 captions',
        ),
        (
            'didemo.py',
            'val_data.json',
            [dict(video='a.mov', description='x')],
            'found 1 clips with 1 captions, expected 1,065 clips;',
        ),
        ('msvd.py', 'val_list.txt', None, 'raw-captions.pkl does not exist'),
    ],
)
def test_wrong_sizes_and_missing_files_are_not_converted(tmp_path, script, name, content, expected):
    (tmp_path / name).write_text('a_1_2' if content is None else json.dumps(content))
    code, text = convert(script, tmp_path, tmp_path / 'out', '--splits', 'val', 'test')
    assert code == 1 and 'val: NOT converted' in text and expected in text
    assert 'test: NOT converted: annotation file' in text and not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'script, words',
    [
        ('msrvtt.py', ['MSRVTT_data.json', 'train_9k', 'test_1ka', '--videos']),
        ('coco.py', ['dataset_coco.json', 'coco_karpathy_train.json', 'restval', 'val2014/']),
        ('flickr30k.py', ['dataset_flickr30k.json', 'flickr30k_train.json', 'flickr30k-images/']),
        ('didemo.py', ['train_data.json', 'videos/', 'joined']),
        ('msvd.py', ['raw-captions.pkl', 'train_list.txt', '.avi']),
    ],
)
def test_help_says_what_goes_where(script, words):
    code, text = convert(script, '--help')
    assert code == 0
    assert [word for word in [*words, '--splits', 'Exit code', 'Example:', script] if word not in text] == []


def test_a_converter_runs_as_a_script_from_anywhere(tmp_path):
    write_msvd(tmp_path)
    environment = dict(os.environ, PYTHONPATH=str(CONVERTERS.parents[1]))
    subprocess.run([sys.executable, str(CONVERTERS / 'msvd.py'), '.', 'out'], cwd=tmp_path, env=environment, check=True)
    assert len((tmp_path / 'out/test.jsonl').read_text().splitlines()) == 670
