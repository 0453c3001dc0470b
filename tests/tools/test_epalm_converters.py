"""The converters of NoCaps and of MSR-VTT's captions on generated annotations of the real size."""

import json

from tests.converters import convert
from tests.datasets.qa_files import write_json
from vlpeft.registry import DATASETS

DOMAINS = ['in-domain'] * 648 + ['near-domain'] * 2938 + ['out-domain'] * 914


def write_nocaps(folder, captions=10):
    images = [dict(id=n, file_name=f'{n:016x}.jpg', domain=domain) for n, domain in enumerate(DOMAINS)]
    annotations = [dict(id=n, image_id=n % 4500, caption=f'caption {n}') for n in range(4500 * captions)]
    write_json(folder / 'nocaps_val_4500_captions.json', dict(images=images, annotations=annotations))


def infos(kind, folder, ann_file, **kwargs):
    dataset = DATASETS.build(dict(type=kind, data_root=str(folder), ann_file=ann_file, test_mode=True, **kwargs))
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_nocaps_has_the_published_sizes_in_all_and_in_each_domain(tmp_path):
    write_nocaps(tmp_path)
    (tmp_path / 'val').mkdir()
    (tmp_path / f'val/{5:016x}.jpg').touch()
    code, text = convert('nocaps.py', tmp_path, tmp_path)
    assert code == 0 and text.count('(written)') == 4 and 'expected' not in text and 'media: 1 of 4,500' in text
    assert 'val: 4,500 clips, 45,000 captions' in text and 'out-domain: 914 clips, 9,140 captions' in text
    media = dict(data_prefix=dict(media='val'))
    theirs = infos('COCOCaption', tmp_path, 'nocaps_val_4500_captions.json', **media)
    ours = infos('JSONLCaption', tmp_path, 'val.jsonl', **media)
    assert [[info[key] for key in ('path', 'name', 'references')] for info in ours] == [
        [info[key] for key in ('path', 'name', 'references')] for info in theirs
    ]
    near = infos('JSONLCaption', tmp_path, 'near-domain.jsonl', **media)
    assert [info['path'] for info in near] == [info['path'] for info in theirs[648:3586]]


def test_nocaps_reports_other_sizes_and_missing_captions(tmp_path):
    write_nocaps(tmp_path, captions=2)
    code, text = convert('nocaps.py', tmp_path, tmp_path, '--splits', 'in-domain')
    assert code == 0 and 'found 648 clips with 1,296 captions, expected 648 clips with 6,480 captions' in text
    write_nocaps(tmp_path, captions=0)
    code, text = convert('nocaps.py', tmp_path, tmp_path, '--splits', 'val')
    assert code == 1 and 'val: NOT converted' in text and 'images[0]: no captions' in text
    (tmp_path / 'nocaps_val_4500_captions.json').unlink()
    assert 'does not exist' in convert('nocaps.py', tmp_path, tmp_path)[1]


def write_msrvtt(folder):
    splits = ['train'] * 6513 + ['validate'] * 497 + ['test'] * 2990
    write_json(
        folder / 'MSRVTT_data.json',
        dict(
            videos=[dict(video_id=f'video{n}', split=split) for n, split in enumerate(splits)],
            sentences=[dict(video_id=f'video{n % 10000}', caption=f'caption {n // 10000}') for n in range(200000)],
        ),
    )
    names = ''.join(f'video{n}\n' for n in range(7010))
    (folder / 'MSRVTT_train.7k.csv').write_text(f'video_id\n{names}')


def test_msrvtt_captions_become_epalms_lists(tmp_path):
    write_msrvtt(tmp_path)
    videos = tmp_path / 'videos'
    videos.mkdir()
    for name in ('video0.mp4', 'video6513.avi', 'video7010.mkv'):
        (videos / name).touch()
    out = tmp_path / 'annotation'
    code, text = convert('msrvtt_caption.py', tmp_path, out, '--splits', 'train', 'val', 'test', 'train7k')
    assert code == 0 and 'train: 6,513 clips, 130,260 captions' in text and 'test: 2,990 clips, 59,800 captions' in text
    assert 'train7k: 7,010 clips, 140,200 captions' in text and 'media: 3 of 10,000' in text
    lists = {
        split: json.loads((out / f'msrvtt_caption_{split}.json').read_text())
        for split in ('train', 'val', 'test', 'train7k')
    }
    assert lists['train7k'] == lists['train'] + lists['val']
    assert lists['test'][0] == dict(video='video7010.mkv', caption=[f'caption {n}' for n in range(20)])
    first, *_ = infos('VideoCaption', tmp_path, 'annotation/msrvtt_caption_val.json')
    assert first['path'] == str(videos / 'video6513.avi') and len(first['references']) == 20
    assert convert('msrvtt_caption.py', tmp_path, out)[1].count('(unchanged)') == 3


def test_help_says_what_goes_where():
    for script, words in (
        ('nocaps.py', ['nocaps_val_4500_captions.json', 'out-domain']),
        ('msrvtt_caption.py', ['MSRVTT_data.json', 'train7k', 'videos/all']),
    ):
        code, text = convert(script, '--help')
        assert code == 0 and [word for word in [*words, 'Exit code', script] if word not in text] == []
