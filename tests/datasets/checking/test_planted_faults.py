"""Every kind of fault, planted alone into a good set, is found with its file, and nothing else is."""

import shutil

import h5py
import numpy as np
import pytest

from tests import media
from tests.datasets.checking.check_files import LOAD, add, good_config, loader, write_lines
from tests.sounds import sine, write_sound
from vlpeft.datasets.checking import check


def found(cfg, folder, **kwargs):
    report = check(cfg, folder / 'out', workers=2, **kwargs)
    return [(finding.kind, finding.subject.removeprefix(f'{folder}/'), finding.detail) for finding in report.findings]


def test_good_sets_have_no_findings(tmp_path):
    cfg = good_config(tmp_path)
    report = check(cfg, tmp_path / 'out', workers=2)
    assert report.findings == [] and report.files == 12 and report.resumed == 0
    assert [(entry['labels'], entry['samples']) for entry in report.sets] == [(['train'], 6), (['val', 'test'], 6)]


def plant_missing(folder):
    add(folder, 'train', image='gone.png', caption='x')
    return 'gone.png', 'no such file'


def plant_empty(folder):
    (folder / 'empty.png').touch()
    add(folder, 'test', image='empty.png', caption='x')
    return 'empty.png', 'the file is empty'


def plant_cut(folder):
    whole = (folder / 'train0.png').read_bytes()
    (folder / 'train0.png').write_bytes(whole[: len(whole) // 2])
    return 'train0.png', 'not a readable image, or truncated'


def plant_cut_video(folder):
    media.write_truncated(folder / 'cut.mp4', media.numbered_frames(40))
    add(folder, 'train', video='cut.mp4', caption='x')
    return 'cut.mp4', 'truncated'


def plant_few_frames(folder):
    media.write_video(folder / 'few.mp4', media.numbered_frames(3))
    add(folder, 'train', video='few.mp4', caption='x')
    return 'few.mp4', '3 frames, a sample takes 4: frames are repeated'


def plant_late_range(folder):
    media.write_video(folder / 'a.mp4', media.numbered_frames(20))
    add(folder, 'test', video='a.mp4', caption='x', start=5, end=6)
    return 'a.mp4', 'the clip lasts 2.00 s'


def plant_long_range(folder):
    media.write_video(folder / 'a.mp4', media.numbered_frames(20))
    add(folder, 'test', video='a.mp4', caption='x', start=1, end=3)
    return 'a.mp4', 'annotated until 3 s, it lasts 2.00 s'


def plant_wrong_suffix(folder):
    media.write_image(folder / 'a.jpg')
    (folder / 'a.jpg').rename(folder / 'a.png')
    add(folder, 'train', image='a.png', caption='x')
    return 'a.png', 'by its content a JPEG file, but its suffix is .png'


def plant_page(folder):
    (folder / 'a.png').write_text('<!DOCTYPE html><html>404</html>')
    add(folder, 'train', image='a.png', caption='x')
    return 'a.png', 'by its content a web page file, where the sample shows an image'


def plant_sound_as_video(folder):
    media.write_audio_only(folder / 'a.mp4')
    add(folder, 'train', video='a.mp4', caption='x')
    return 'a.mp4', 'audio-only, no video track'


def plant_copy(folder):
    shutil.copy(folder / 'train0.png', folder / 'copy.png')
    add(folder, 'train', image='copy.png', caption='x')
    return 'copy.png', 'in train with the same content: '


def plant_record_twice(folder):
    add(folder, 'train', image='train1.png', caption='train text 1')
    return 'train text 1', '2 times for '


def plant_test_record_twice(folder):
    add(folder, 'test', image='test1.png', caption='test text 1')
    return 'test text 1', '2 times for '


def plant_shared_path(folder):
    add(folder, 'test', image='train2.png', caption='y')
    return 'train2.png', 'shown by train and by test, val'


def plant_shared_content(folder):
    shutil.copy(folder / 'train0.png', folder / 'other.png')
    add(folder, 'test', image='other.png', caption='y')
    return 'train0.png', 'shown by train; test, val has the same content as '


def plant_shared_caption(folder):
    add(folder, 'test', image='test0.png', caption='Train  TEXT 3')
    return 'Train  TEXT 3', '1 times in training, 1 times in val, test'


PLANTED = dict(
    missing=[plant_missing],
    unreadable=[plant_empty, plant_cut, plant_cut_video],
    too_short=[plant_few_frames, plant_late_range, plant_long_range],
    duplicate_file=[plant_copy],
    wrong_type=[plant_wrong_suffix, plant_page, plant_sound_as_video],
    overlap_path=[plant_shared_path],
    duplicate_record=[plant_record_twice, plant_test_record_twice],
    overlap_content=[plant_shared_content],
    captions_in_both=[plant_shared_caption],
)


@pytest.mark.parametrize('kind, plant', [(kind, plant) for kind, plants in PLANTED.items() for plant in plants])
def test_a_planted_fault_is_found(tmp_path, kind, plant):
    cfg = good_config(tmp_path, count=4)
    subject, detail = plant(tmp_path)
    kinds = {kind} | ({'unreadable'} if plant is plant_page else set())
    seen = found(cfg, tmp_path)
    assert {entry[0] for entry in seen} == kinds
    assert len([entry for entry in seen if entry[0] == kind]) == 1
    assert any(entry[1] == subject and detail in entry[2] for entry in seen), seen


def test_answers_outside_the_list(tmp_path):
    good_config(tmp_path)
    for split in ('train', 'test'):
        write_lines(
            tmp_path / f'{split}.jsonl',
            [
                dict(image=f'{split}{number}.png', question='what?', answer=answer)
                for number, answer in enumerate(['cat', 'cat', 'dog', 'dog', 'eel' if split == 'train' else 'owl'])
            ],
        )
    test = loader('JSONLQA', tmp_path, 'test.jsonl', test_mode=True, answers_from='train.jsonl', answers_top=2)
    cfg = dict(train_dataloader=loader('JSONLQA', tmp_path, 'train.jsonl'), val_dataloader=test)
    assert found(cfg, tmp_path) == [
        (
            'answers_outside',
            'test.jsonl',
            "1 of 5 questions have no answer among the 2 of the list; most often 'owl' (1)",
        )
    ]


def test_refused_sets_are_findings_and_the_others_are_checked(tmp_path):
    cfg = good_config(tmp_path)
    add(tmp_path, 'test', caption='no image')
    plant_missing(tmp_path)
    seen = found(cfg, tmp_path)
    assert [entry[0] for entry in seen] == ['annotations', 'missing']
    assert seen[0][1] == 'test.jsonl' and f'{tmp_path}/test.jsonl:7' in seen[0][2]


def test_fast_looks_at_existence_size_and_type_only(tmp_path):
    cfg = good_config(tmp_path)
    plant_missing(tmp_path), plant_cut(tmp_path), plant_wrong_suffix(tmp_path), plant_empty(tmp_path)
    shutil.copy(tmp_path / 'train1.png', tmp_path / 'copy.png')
    add(tmp_path, 'test', image='copy.png', caption='y')
    seen = found(cfg, tmp_path, fast=True)
    assert [entry[:2] for entry in seen] == [
        ('missing', 'gone.png'),
        ('unreadable', 'empty.png'),
        ('wrong_type', 'a.png'),
        ('captions_in_both', 'x'),
    ]
    # A later check that reads the files does not take these results for its own.
    assert {'unreadable', 'overlap_content'} <= {entry[0] for entry in found(cfg, tmp_path)}


def feature_config(folder, reader):
    write_lines(folder / 'train.jsonl', [dict(image=f'{name}.jpg', caption=f'text {name}') for name in 'abcde'])
    steps = [
        dict(type='LoadFeatures', reader=reader),
        dict(type='DrawTarget'),
        dict(type='ComposeText', template=''),
        dict(type='PackSample', task='caption'),
    ]
    return dict(train_dataloader=loader('JSONLCaption', folder, 'train.jsonl', pipeline=steps))


@pytest.mark.parametrize('fast', [False, True])
@pytest.mark.parametrize('layout', ['files', 'npz', 'packed'])
def test_stored_features(tmp_path, layout, fast):
    """e is missing, d cut or not stored, c has NaN, b equals a; the images themselves are not there."""
    values = np.random.default_rng(0).standard_normal((4, 3, 6)).astype(np.float16)
    values[1], values[2, 0, 0] = values[0], np.nan
    if layout == 'packed':
        reader = dict(type='PackedHDF5Reader', file=str(tmp_path / 'all.h5'))
        with h5py.File(tmp_path / 'all.h5', 'w') as file:
            file['features'], file['names'], file['done'] = values, [b'a', b'b', b'c', b'd'], np.uint8([1, 1, 1, 0])
    else:
        reader = dict(type=dict(files='HDF5Reader', npz='NPZReader')[layout], root=str(tmp_path))
        for name, features in zip('abcd', values):
            if layout == 'npz':
                np.savez(tmp_path / f'{name}.npz', features=features)
            else:
                with h5py.File(tmp_path / f'{name}.h5', 'w') as file:
                    file[f'{name}/features'] = features
        cut = tmp_path / ('d.npz' if layout == 'npz' else 'd.h5')
        cut.write_bytes(cut.read_bytes()[:-40])
    places = dict(files='{}.h5', npz='{}.npz', packed='all.h5[{}]')[layout]
    expected = {('missing', 'e')}
    if layout == 'packed':
        expected |= {('missing', 'd')}
    if not fast:
        expected |= {('unreadable', 'c'), ('duplicate_file', 'a')}
        expected |= {('unreadable', 'd')} if layout != 'packed' else set()
    seen = found(feature_config(tmp_path, reader), tmp_path, fast=fast)
    assert {entry[:2] for entry in seen} == {(kind, places.format(name)) for kind, name in expected}
    assert len(seen) == len(expected)


def test_sounds(tmp_path):
    write_sound(tmp_path / 'good.wav', sine(440))
    write_sound(tmp_path / 'loud.wav', 1e25 * sine(300), subtype='FLOAT')
    write_sound(tmp_path / 'short.wav', sine(440, seconds=0.01))
    write_sound(tmp_path / 'nan.wav', np.full(8000, np.nan), subtype='FLOAT')
    media.write_image(tmp_path / 'picture.png')
    (tmp_path / 'picture.png').rename(tmp_path / 'picture.wav')
    names = ['good', 'loud', 'short', 'nan', 'picture', 'gone']
    write_lines(
        tmp_path / 'train.jsonl',
        [dict(audio=f'{name}.wav', caption=name) for name in names]
        + [dict(audio='good.wav', caption='late', start=3, end=4), dict(audio='good.wav', caption='long', end=2)],
    )
    steps = [
        dict(type='LoadAudio'),
        dict(type='Fbank'),
        dict(type='DrawTarget'),
        dict(type='ComposeText', template=''),
        dict(type='PackSample', task='caption'),
    ]
    cfg = dict(train_dataloader=loader('JSONLCaption', tmp_path, 'train.jsonl', pipeline=steps))
    seen = found(cfg, tmp_path)
    assert sorted(entry[:2] for entry in seen if entry[1] != 'picture.wav') == [
        ('missing', 'gone.wav'),
        ('too_short', 'good.wav'),
        ('too_short', 'good.wav'),
        ('too_short', 'short.wav'),
        ('unreadable', 'loud.wav'),
        ('unreadable', 'nan.wav'),
    ]
    assert ('wrong_type', 'picture.wav') in {entry[:2] for entry in seen}


def test_several_tasks_at_once_and_joined_sets(tmp_path):
    """Loaders by task, MultiTaskDataset, ConcatDataset; a file that two tasks show is read once."""
    good_config(tmp_path)
    write_lines(
        tmp_path / 'qa.jsonl',
        [dict(image='train0.png', question='what?', answer='x'), dict(image='gone.png', question='what?', answer='x')],
    )
    write_lines(tmp_path / 'more.jsonl', [dict(image='test3.png', caption='a new text')])
    sets = {
        file: loader(kind, tmp_path, f'{file}.jsonl')['dataset']
        for kind, file in (('JSONLQA', 'qa'), ('JSONLCaption', 'train'), ('JSONLCaption', 'more'))
    }
    both = dict(type='ConcatDataset', datasets=[sets['train'], sets['more']])
    test = dict(
        caption=loader('JSONLCaption', tmp_path, 'test.jsonl', test_mode=True),
        vqa=loader('JSONLQA', tmp_path, 'qa.jsonl', test_mode=True),
    )
    cfg = dict(
        train_dataloader=dict(dataset=dict(type='MultiTaskDataset', tasks=dict(vqa=sets['qa'], caption=both))),
        val_dataloader=test,
        test_dataloader=test,
    )
    report = check(cfg, tmp_path / 'out', workers=2)
    assert [entry['labels'] for entry in report.sets] == [
        ['train/vqa'],
        ['train/caption'],
        ['train/caption'],
        ['val/caption', 'test/caption'],
        ['val/vqa', 'test/vqa'],
    ]
    assert report.files == 13
    assert len((tmp_path / 'out/progress.jsonl').read_text().splitlines()) == 13
    missing = next(finding for finding in report.findings if finding.kind == 'missing')
    assert missing.samples == 2 and len(missing.sets) == 2
    overlaps = {
        finding.subject.removeprefix(f'{tmp_path}/'): finding.detail
        for finding in report.findings
        if finding.kind == 'overlap_path'
    }
    assert set(overlaps) == {'train0.png', 'gone.png', 'test3.png'}
    assert overlaps['test3.png'] == 'shown by train/caption and by test/caption, val/caption'


def test_sets_that_are_no_files_are_refused(tmp_path):
    cfg = good_config(tmp_path)
    cfg['train_dataloader']['dataset']['pipeline'] = LOAD[1:]
    with pytest.raises(ValueError, match='has none of LoadClip, LoadImages, LoadAudio, LoadFeatures'):
        check(cfg, tmp_path / 'out')
    with pytest.raises(ValueError, match='the config has none of test_dataloader'):
        check(dict(train_dataloader=cfg['train_dataloader']), tmp_path / 'out', splits=('test',))
