"""The converter of AudioCaps, on real sound files."""

import csv
import json

from tests.converters import convert
from tests.sounds import sine, write_sound
from vlpeft.registry import DATASETS

ROWS = dict(
    train=[
        ('91139', 'r1nicOVtvkQ', '130', 'A woman talks, then "hello"'),
        ('58146', '-YDGBUoi8hM', '30', 'Rain'),
        ('7', 'gone0000000', '0', 'Wind'),
    ],
    val=[(str(n), 'vfY_TJq7n_U', '130', f'Caption {n}') for n in range(5)],
    test=[(str(n), '6BJ455B1aAs', '10', f'Thunder {n}') for n in range(5)],
)
NAMES = ('train/Yr1nicOVtvkQ.wav', 'train/-YDGBUoi8hM_30.flac', 'val/vfY_TJq7n_U.wav', 'test/6BJ455B1aAs.wav')


def write_source(folder):
    for split, rows in ROWS.items():
        with open(folder / f'{split}.csv', 'w', newline='') as file:
            csv.writer(file).writerows([('audiocap_id', 'youtube_id', 'start_time', 'caption'), *rows])
    for name in NAMES:
        write_sound(folder / 'audios' / name, sine(984, 0.1))
    (folder / 'audios/train/gone0000000.wav.part').touch()


def test_audiocaps(tmp_path):
    write_source(tmp_path)
    out = tmp_path / 'annotation'
    code, text = convert('audiocaps.py', tmp_path, out)
    assert code == 0 and text.count('(written)') == 3
    assert 'train: 3 clips, 3 captions' in text and 'val: 1 clips, 5 captions' in text
    assert 'found 3 clips with 3 captions, expected 49,838 clips with 49,838 captions; is a file cut off' in text
    assert f'media: 4 of 5 in {tmp_path / "audios"}\n  missing: train/gone0000000.wav\n' in text
    assert json.loads((out / 'audiocaps_caption_train.json').read_text()) == [
        dict(audio=NAMES[0], caption=['A woman talks, then "hello"']),
        dict(audio=NAMES[1], caption=['Rain']),
        dict(audio='train/gone0000000.wav', caption=['Wind']),
    ]
    steps = [dict(type='LoadAudio'), dict(type='Fbank', length=8), dict(type='PackSample', task='caption')]
    test = DATASETS.build(
        dict(
            type='AudioCaps',
            data_root=str(tmp_path),
            test_mode=True,
            pipeline=steps,
            ann_file='annotation/audiocaps_caption_val.json',
        )
    )
    assert len(test) == 1 and test[0]['data_samples'].references == [f'Caption {n}' for n in range(5)]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code, text = convert('audiocaps.py', tmp_path, out)
    assert code == 0 and text.count('(unchanged)') == 3
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_audiocaps_names_what_it_cannot_convert(tmp_path):
    write_source(tmp_path)
    (tmp_path / 'train.csv').write_text('audiocap_id,youtube_id,caption\n1,a,b\n')
    (tmp_path / 'val.csv').write_text('audiocap_id,youtube_id,start_time,caption\n1,a,0,\n')
    (tmp_path / 'test.csv').unlink()
    code, text = convert('audiocaps.py', tmp_path, tmp_path / 'out')
    assert code == 1 and "train.csv:1: no column 'start_time'" in text and "val.csv:2: 'caption' is empty" in text
    assert 'test.csv does not exist' in text and not (tmp_path / 'out').exists()
