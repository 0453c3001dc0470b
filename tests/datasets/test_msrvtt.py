"""MSR-VTT in both layouts and all splits, and the converter between them, on generated files of the real size."""

import csv
import json

import pytest

from tests import media
from tests.converters import convert
from vlpeft.datasets import AnnotationError
from vlpeft.datasets.msrvtt import SPLITS
from vlpeft.registry import DATASETS


def write_layout(folder):
    """Annotations of 10,000 clips with 20 captions, split as the real set is."""
    folder.mkdir(exist_ok=True)
    splits = ['train'] * 6513 + ['validate'] * 497 + ['test'] * 2990
    videos = [dict(video_id=f'video{n}', split=split, id=n, url='', category=0) for n, split in enumerate(splits)]
    for video in videos:
        video.update({'start time': 100.0, 'end time': 110.0})
    sentences = [
        dict(video_id=f'video{n}', caption=f'text {k} of {n}', sen_id=20 * n + k)
        for k in range(20)
        for n in range(10000)
    ]
    (folder / 'MSRVTT_data.json').write_text(json.dumps(dict(videos=videos, sentences=sentences)))
    for name, count in (('9k', 9000), ('7k', 7010)):
        lines = ['video_id', *(f'video{n}' for n in range(count))]
        (folder / f'MSRVTT_train.{name}.csv').write_text('\n'.join(lines) + '\n')
    with open(folder / 'MSRVTT_JSFUSION_test.csv', 'w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(['key', 'vid_key', 'video_id', 'sentence'])
        for n in range(1000):
            rows.writerow([f'ret{n}', f'msr{9000 + n}', f'video{9000 + n}', f'a test, of "{n}"'])
    (folder / 'videos').mkdir(exist_ok=True)
    media.write_video(folder / 'videos' / 'video0.mp4', media.numbered_frames(20))
    media.write_video(folder / 'videos' / 'video9000.mp4', media.numbered_frames(20))


@pytest.fixture(scope='module')
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp('msrvtt')
    write_layout(folder)
    return folder


def build(folder, ann_file='MSRVTT_data.json', **kwargs):
    return DATASETS.build(dict(type='MSRVTTRetrieval', data_root=str(folder), ann_file=ann_file, **kwargs))


@pytest.mark.parametrize('split', list(SPLITS))
def test_splits_of_the_clip4clip_layout(layout, split):
    clips, captions = {
        'train_9k': (9000, 180000),
        'train_7k': (7010, 140200),
        'test_1ka': (1000, 1000),
        'train_full': (6513, 130260),
        'val_full': (497, 9940),
        'test_full': (2990, 59800),
    }[split]
    dataset = build(layout, split=split, test_mode=True)
    assert (len(dataset), len(dataset.texts)) == (clips, captions)
    assert dataset.text_to_clip == [n for n in range(clips) for _ in range(captions // clips)]


def test_training_has_every_caption_as_a_sample(layout):
    dataset = build(layout, split='train_7k')
    assert len(dataset) == 140200
    info = dataset.get_data_info(20 * 3 + 5)
    assert info == dict(
        name='video3',
        path=str(layout / 'videos/video3.mp4'),
        media='video',
        text='text 5 of 3',
        clip_id=3,
        sample_idx=65,
    )


def test_clips_are_read_whole_and_captions_with_commas_and_quotes_too(layout):
    pipeline = [dict(type='LoadClip', num_frames=2), dict(type='CleanText'), dict(type='PackSample')]
    item = build(layout, split='test_1ka', test_mode=True, pipeline=pipeline)[0]
    sample = item['data_samples']
    assert item['inputs'].shape == (2, 3, 48, 80) and sample.frame_indices == [5, 15]
    assert (sample.name, sample.texts, sample.text_ids, sample.clip_id) == ('video9000', ['a test, of 0'], [0], 0)


def test_json_lines_layout(layout):
    lines = [
        dict(clip_name='video9', caption='x', sen_id=0),
        dict(clip_name='video2', caption='y'),
        dict(clip_name='video9', caption='z'),
    ]
    (layout / 'few.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    dataset = build(layout, 'few.jsonl', test_mode=True)
    assert (dataset.clip_names, dataset.texts, dataset.text_to_clip) == (
        ['video9', 'video2'],
        ['x', 'z', 'y'],
        [0, 0, 1],
    )
    assert dataset.get_data_info(1)['path'] == str(layout / 'videos/video2.mp4')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(split='1kA'), "unknown MSR-VTT split '1kA'; valid: train_9k, train_7k, test_1ka, train_full"),
        (dict(), "unknown MSR-VTT split 'None'"),
        (dict(ann_file='few.jsonl', split='train_9k'), 'set split=None'),
    ],
)
def test_wrong_splits(layout, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(layout, **arguments)


@pytest.mark.parametrize(
    'name, content, split, message',
    [
        ('MSRVTT_train.9k.csv', None, 'train_9k', 'MSRVTT_train.9k.csv does not exist'),
        ('MSRVTT_train.9k.csv', 'id\nvideo0\n', 'train_9k', "csv:1: no column 'video_id'; columns found: id"),
        ('MSRVTT_train.9k.csv', '', 'train_9k', "csv:1: no column 'video_id'; columns found: none"),
        ('MSRVTT_train.9k.csv', 'video_id\n', 'train_9k', 'holds no annotations'),
        ('MSRVTT_train.9k.csv', 'video_id\nvideo0\nvideo77\n', 'train_9k', "csv:3: clip 'video77' has no caption"),
        ('MSRVTT_train.9k.csv', 'video_id\n../video0\n', 'train_9k', r"csv:2: clip '\.\./video0' has no caption"),
        ('MSRVTT_JSFUSION_test.csv', 'key,video_id,sentence\na,video1,\n', 'test_1ka', "csv:2: 'sentence' is empty"),
        (
            'MSRVTT_JSFUSION_test.csv',
            'video_id,sentence\n../../x,hello\n',
            'test_1ka',
            'csv:2: .*outside the data root',
        ),
        ('MSRVTT_data.json', None, 'train_full', 'MSRVTT_data.json does not exist'),
        ('MSRVTT_data.json', '{"videos": [\n oops', 'train_full', 'MSRVTT_data.json:2: not valid JSON'),
        ('MSRVTT_data.json', '{"videos": []}', 'train_full', "json:1: expected a list 'sentences'"),
        ('MSRVTT_data.json', '{"videos": [{"video_id": "a"}]}', 'train_full', r"videos\[0\]: 'split' must be a text"),
        ('few.jsonl', '', None, 'few.jsonl holds no annotations'),
        (
            'few.jsonl',
            '{"clip_name": "a", "caption": "x"}\n{"clip": "a"}\n',
            None,
            "few.jsonl:2: 'clip_name' must be a",
        ),
        ('few.jsonl', '{"clip_name": "../../a", "caption": "x"}\n', None, 'few.jsonl:1: .*outside the data root'),
    ],
)
def test_broken_annotations_are_named(tmp_path, name, content, split, message):
    (tmp_path / 'videos').mkdir()
    data = dict(videos=[dict(video_id='video0', split='train')], sentences=[dict(video_id='video0', caption='x')])
    (tmp_path / 'MSRVTT_data.json').write_text(json.dumps(data))
    (tmp_path / 'MSRVTT_train.9k.csv').write_text('video_id\nvideo0\n')
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(AnnotationError, match=message):
        build(tmp_path, 'few.jsonl' if split is None else 'MSRVTT_data.json', split=split)


def test_a_missing_video_folder_is_an_error(layout):
    with pytest.raises(FileNotFoundError, match='media folder .*clips does not exist .*data_prefix'):
        build(layout, split='test_1ka', data_prefix=dict(media='clips'))


def test_converter_writes_what_the_dataset_reads_and_does_it_once(layout, tmp_path):
    code, text = convert('msrvtt.py', layout, tmp_path / 'out', '--splits', 'train_7k', 'test_1ka', 'val_full')
    assert code == 0 and 'train_7k: 7,010 clips, 140,200 captions' in text and text.count('(written)') == 3
    assert 'media: 2 of 8,010' in text and 'missing: video1.mp4' in text and '… and 7,998 more' in text
    for split in ('test_1ka', 'val_full'):
        ours = build(layout, str(tmp_path / f'out/{split}.jsonl'), test_mode=True)
        theirs = build(layout, split=split, test_mode=True)
        assert (ours.clip_names, ours.texts, ours.text_to_clip) == (
            theirs.clip_names,
            theirs.texts,
            theirs.text_to_clip,
        )
    assert not list((tmp_path / 'out').glob('*.part'))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    code, text = convert('msrvtt.py', layout, tmp_path / 'out', '--splits', 'test_1ka')
    assert code == 0 and '(unchanged)' in text
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}


def test_converter_refuses_wrong_counts_and_lists_missing_files(tmp_path):
    (tmp_path / 'MSRVTT_JSFUSION_test.csv').write_text('video_id,sentence\nvideo1,hello\n')
    code, text = convert('msrvtt.py', tmp_path, tmp_path / 'out')
    assert code == 1
    assert 'train_9k: NOT converted: annotation file' in text and 'does not exist' in text
    assert 'test_1ka: NOT converted: found 1 clips with 1 captions, expected 1,000 clips with 1,000 captions' in text
    assert not (tmp_path / 'out').exists()
