"""Clips that cannot be read: training replaces few and counts them, a test never replaces silently."""

import json
import logging

import pytest
import torch
from torch.utils.data import DataLoader

from tests import media
from vlpeft.datasets import ClipError, UnreadableClipsError
from vlpeft.registry import DATASETS

PIPELINE = [dict(type='LoadClip', num_frames=2), dict(type='PackSample')]


def make_set(folder, good, broken=('gone.mp4',)):
    """``good`` readable clips, each naming itself by its frames' numbers, then the broken ones."""
    frames = media.numbered_frames(good)
    for number in range(good):
        media.write_video(folder / f'{number}.mp4', frames[[number] * 2])
    if 'silent.mp4' in broken:
        media.write_audio_only(folder / 'silent.mp4')
    names = [*(f'{number}.mp4' for number in range(good)), *broken]
    lines = [json.dumps(dict(video=name, caption=f'text of {name}')) + '\n' for name in names]
    (folder / 'own.jsonl').write_text(''.join(lines))
    return folder


def build(folder, **kwargs):
    return DATASETS.build(dict(type='JSONLRetrieval', ann_file=str(folder / 'own.jsonl'), pipeline=PIPELINE, **kwargs))


def shown(item):
    return media.frame_number(item['inputs'][0].permute(1, 2, 0).numpy())


def test_training_replaces_deterministically_counts_and_lists(tmp_path, caplog):
    make_set(tmp_path, good=6, broken=['gone.mp4', 'silent.mp4'])
    dataset = build(tmp_path)
    with caplog.at_level(logging.WARNING):
        item, other = dataset[6], dataset[7]
        again = dataset[6]
    assert item['data_samples'].name in {f'{number}.mp4' for number in range(6)}
    assert torch.equal(item['inputs'], again['inputs'])
    assert item['data_samples'].name == again['data_samples'].name == build(tmp_path)[6]['data_samples'].name
    assert shown(item) == item['data_samples'].clip_id and shown(other) == other['data_samples'].clip_id
    account = dataset.unreadable
    assert (account.fetched, account.replaced) == (3, 3)
    assert account.reasons == {
        str(tmp_path / 'gone.mp4'): 'no such file',
        str(tmp_path / 'silent.mp4'): 'audio-only, no video track',
    }


def test_the_first_failure_of_an_early_batch_does_not_end_a_run_but_many_do(tmp_path):
    make_set(tmp_path, good=6)
    dataset = build(tmp_path)
    for _ in range(4):
        dataset[6]
    with pytest.raises(UnreadableClipsError, match=r'5 of 5 samples were unreadable .*max_unreadable=0.01') as caught:
        dataset[6]
    assert f'{tmp_path}/gone.mp4: no such file' in str(caught.value)


def test_the_budget_grows_with_the_samples_fetched(tmp_path):
    make_set(tmp_path, good=6)
    dataset = build(tmp_path, max_unreadable=0.25)
    for index in range(40):
        dataset[index % 6]
    for _ in range(18):  # 4 + 0.25 * 57 = 18.25 after the 17th, 18.5 after the 18th
        dataset[6]
    with pytest.raises(UnreadableClipsError, match='19 of 59'):
        dataset[6]


def test_zero_tolerates_none_and_rates_are_checked(tmp_path):
    make_set(tmp_path, good=3)
    with pytest.raises(UnreadableClipsError, match='1 of 1 samples'):
        build(tmp_path, max_unreadable=0)[3]
    with pytest.raises(ValueError, match=r'must lie in \[0, 1\], got 5'):
        build(tmp_path, max_unreadable=5)


def test_a_set_without_a_readable_clip_ends_after_a_bounded_search(tmp_path):
    make_set(tmp_path, good=0, broken=['x.mp4', 'y.mp4'])
    with pytest.raises(UnreadableClipsError, match='10 samples in a row cannot be used'):
        build(tmp_path, max_unreadable=1.0)[0]
    with pytest.raises(ClipError, match='no readable clip was found to stand in'):
        build(tmp_path, test_mode=True, skip_unreadable=True)[0]


def test_a_test_fails_on_an_unreadable_clip_by_default(tmp_path):
    make_set(tmp_path, good=3)
    dataset = build(tmp_path, test_mode=True)
    assert 'unreadable' not in dataset[0]['data_samples']
    with pytest.raises(ClipError, match='gone.mp4: no such file'):
        dataset[3]
    loader = DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=list)
    with pytest.raises(ClipError, match='gone.mp4: no such file'):
        list(loader)


def test_a_test_that_may_skip_marks_the_clip_and_keeps_its_annotation(tmp_path):
    make_set(tmp_path, good=3, broken=['gone.mp4', 'silent.mp4'])
    dataset = build(tmp_path, test_mode=True, skip_unreadable=True)
    items = [dataset[index] for index in range(5)]
    samples = [item['data_samples'] for item in items]
    assert [sample.get('unreadable') for sample in samples] == [
        None,
        None,
        None,
        'no such file',
        'audio-only, no video track',
    ]
    assert [(sample.name, sample.clip_id, sample.text_ids, sample.texts) for sample in samples[3:]] == [
        ('gone.mp4', 3, [3], ['text of gone.mp4']),
        ('silent.mp4', 4, [4], ['text of silent.mp4']),
    ]
    assert all(item['inputs'].shape == items[0]['inputs'].shape for item in items)
    assert dataset.text_to_clip == [0, 1, 2, 3, 4]
    assert dataset.unreadable.reasons == {
        str(tmp_path / 'gone.mp4'): 'no such file',
        str(tmp_path / 'silent.mp4'): 'audio-only, no video track',
    }
