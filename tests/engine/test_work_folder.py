"""A work folder: whole files, the newest checkpoint of them, one run at a time, and nothing of others removed."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.workspace import ROOT, write_workspace
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint, write_checkpoint, write_safetensors
from vlpeft.checkpoint.manifest import check_manifest, manifest_of, write_with_manifest
from vlpeft.engine.run_config import RunConfig
from vlpeft.engine.work_folder import enter, newest_checkpoint, resumed_from


def state(iteration: int, saved_at: float) -> dict:
    return dict(
        state_dict=dict(w=torch.full((64,), float(iteration))),
        optimizer=dict(state={}, param_groups=[]),
        meta=dict(iter=iteration, epoch=iteration, saved_at=saved_at),
    )


@pytest.fixture
def folder(tmp_path):
    """epoch_9 and epoch_10, in this order, and a best file; named so that no alphabet gives the order."""
    for number in (9, 10):
        write_checkpoint(state(number, 1000.0 + number), tmp_path / f'epoch_{number}.pth')
    write_checkpoint(
        dict(state_dict=dict(w=torch.ones(2)), meta=dict(iter=10, epoch=10, saved_at=2000.0)),
        tmp_path / 'best_x_epoch_10.pth',
    )
    return tmp_path


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    tensors = dict(w=torch.arange(200.0), v=torch.ones(3))
    write_checkpoint(tensors, path) if suffix == 'pth' else write_safetensors(tensors, path)
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 50):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match='is damaged'):
            read_checkpoint(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=f'has {len(whole) - 1:,} bytes'):
        read_checkpoint(path)
    path.write_bytes(whole)
    read_checkpoint(path)


def test_a_file_without_a_manifest_is_read_and_one_with_a_broken_manifest_is_not(tmp_path):
    path = tmp_path / 'a.pth'
    write_checkpoint(dict(w=torch.ones(2)), path)
    manifest_of(path).write_text('{"versions": []}')
    with pytest.raises(CheckpointError, match='is no manifest'):
        read_checkpoint(path)
    manifest_of(path).unlink()
    assert not check_manifest(path) and read_checkpoint(path)['w'].tolist() == [1, 1]


def test_a_manifest_without_crc32_is_called_old_and_the_file_not_damaged(tmp_path):
    path = tmp_path / 'a.pth'
    write_checkpoint(dict(w=torch.ones(2)), path)
    content = path.read_bytes()
    entry = dict(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    manifest_of(path).write_text(json.dumps(dict(file='a.pth', versions=[entry])))
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert str(error.value) == (
        f'{manifest_of(path)} is of an older form, without CRC-32; remove it to read a.pth unchecked'
    )
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match='is damaged'):
        read_checkpoint(path)
    path.write_bytes(content)
    manifest_of(path).unlink()
    assert read_checkpoint(path)['w'].tolist() == [1, 1]


def test_between_manifest_and_file_the_old_file_is_whole(tmp_path, monkeypatch):
    """The moment after the manifest of the new version was written, and before the file is there."""
    path = tmp_path / 'a.pth'
    write_with_manifest(path, lambda part: Path(part).write_bytes(b'one'))
    write_with_manifest(path, lambda part: Path(part).write_bytes(b'two'))
    seen = []

    def write(part):
        Path(part).write_bytes(b'three')

    original = os.chmod
    monkeypatch.setattr(
        'vlpeft.checkpoint.manifest.os.chmod',
        lambda name, mode: (seen.append(check_manifest(path)), original(name, mode)),
    )
    write_with_manifest(path, write)
    assert seen and all(seen) and path.read_bytes() == b'three' and check_manifest(path)


def test_writes_that_are_killed_again_and_again_leave_the_file_whole(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    write_with_manifest(path, lambda part: Path(part).write_bytes(b'one'))
    original = os.replace

    def replace(part, target):
        if Path(target) == path:
            raise KeyboardInterrupt
        original(part, target)

    monkeypatch.setattr('vlpeft.checkpoint.manifest.os.replace', replace)
    for number in range(5):
        with pytest.raises(KeyboardInterrupt):
            write_with_manifest(path, lambda part: Path(part).write_bytes(b'newer' + bytes([number])))
        assert path.read_bytes() == b'one' and check_manifest(path)


def test_the_newest_is_the_one_saved_last(folder):
    assert newest_checkpoint(folder) == folder / 'epoch_10.pth'
    write_checkpoint(state(3, 5000.0), folder / 'iter_3.pth')
    assert newest_checkpoint(folder) == folder / 'iter_3.pth'
    (folder / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    assert resumed_from('auto', folder) == str(folder / 'iter_3.pth')


@pytest.mark.parametrize('damage', ['truncated', 'flipped', 'empty'])
def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(folder, damage, logged):
    path = folder / 'epoch_10.pth'
    whole = path.read_bytes()
    flipped = whole.replace(torch.full((64,), 10.0).numpy().tobytes(), torch.full((64,), 11.0).numpy().tobytes())
    assert flipped != whole
    path.write_bytes(dict(truncated=whole[:-200], flipped=flipped, empty=b'')[damage])
    assert newest_checkpoint(folder) == folder / 'epoch_9.pth'
    lines = [record.getMessage() for record in logged]
    assert any('epoch_10.pth' in line and 'going on from epoch_9.pth' in line for line in lines)
    (folder / 'epoch_9.pth').write_bytes(b'')
    with pytest.raises(SystemExit, match='none can be resumed'):
        resumed_from('auto', folder)


def test_an_empty_folder_starts_from_scratch(tmp_path):
    assert resumed_from('auto', tmp_path) is None and resumed_from('auto', tmp_path / 'not there') is None


def test_weights_alone_are_not_resumed(folder):
    with pytest.raises(SystemExit, match='holds no optimiser.*load_from='):
        resumed_from(str(folder / 'best_x_epoch_10.pth'), folder)


def test_a_second_run_in_a_folder_is_refused_and_leftovers_go(tmp_path):
    (tmp_path / '.writing-abc.pth').write_bytes(b'half')
    code = f"""
import sys, time
from vlpeft.engine.work_folder import enter
held = enter({str(tmp_path)!r})
print('in', flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == 'in\n' and not list(tmp_path.glob('.writing-*'))
        with pytest.raises(SystemExit, match='another run is training in'):
            enter(tmp_path)
        other.kill()
        other.wait()
    enter(tmp_path).release()


def run(config_path, work_dir, **options) -> Runner:
    config = RunConfig.read(config_path)
    config.merge_from_dict(dict(options, work_dir=str(work_dir), experiment_name=f'{work_dir}{time.time_ns()}'))
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.glob('*.pth')}


@pytest.fixture(scope='module')
def config_path(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


def test_a_run_resumed_elsewhere_leaves_the_first_folder_alone(config_path, tmp_path):
    """Also what the checkpoint names by a path of its own."""
    run(config_path, tmp_path / 'a', **{'train_cfg.max_epochs': 1})
    precious = tmp_path / 'precious.pth'
    write_checkpoint(dict(w=torch.ones(1)), precious)
    checkpoint = torch.load(tmp_path / 'a/epoch_1.pth', weights_only=True)
    checkpoint['message_hub']['runtime_info'].update(
        best_ckpt=str(precious), best_score=-1.0, keep_ckpt_ids=['../../precious', 1], within='../precious'
    )
    write_checkpoint(checkpoint, tmp_path / 'a/epoch_1.pth')
    before = {path.name: path.read_bytes() for path in (tmp_path / 'a').glob('*.pth')}
    run(
        config_path,
        tmp_path / 'b',
        load_from=str(tmp_path / 'a/epoch_1.pth'),
        resume=True,
        **{'default_hooks.checkpoint.max_keep_ckpts': 1},
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / 'a').glob('*.pth')} == before
    assert precious.is_file() and 'epoch_2.pth' in listed(tmp_path / 'b')
    assert (tmp_path / 'b/last_checkpoint').read_text() == 'epoch_2.pth'


def test_the_text_of_a_checkpoint_s_config_is_not_run(config_path, tmp_path):
    run(config_path, tmp_path / 'a', **{'train_cfg.max_epochs': 1})
    checkpoint = torch.load(tmp_path / 'a/epoch_1.pth', weights_only=True)
    checkpoint['meta']['config'] = f"open({str(tmp_path / 'executed')!r}, 'w').close()"
    write_checkpoint(checkpoint, tmp_path / 'a/epoch_1.pth')
    run(config_path, tmp_path / 'b', load_from=str(tmp_path / 'a/epoch_1.pth'), resume=True)
    assert not (tmp_path / 'executed').exists()


def test_minutes_keep_the_newest_within_an_epoch_until_it_ends(config_path, tmp_path, monkeypatch):
    monkeypatch.setattr('vlpeft.engine.hooks.resumable_checkpoint.CLOCK_EVERY', 1)
    seen = []
    from vlpeft.engine.hooks import AdapterCheckpointHook

    original = AdapterCheckpointHook._write
    monkeypatch.setattr(
        AdapterCheckpointHook,
        '_write',
        lambda self, runner, name: (original(self, runner, name), seen.append(listed(tmp_path) - {name})),
    )
    run(
        config_path,
        tmp_path,
        **{
            'default_hooks.checkpoint.minutes': 1e-9,
            'default_hooks.checkpoint.save_best': None,
            'train_dataloader.batch_size': 2,
            'train_cfg.val_interval': 10,
        },
    )
    # 5 batches an epoch: four files within it, each beside the one before, then that of the epoch.
    assert [sorted(names) for names in seen[:5]] == [[], ['iter_1.pth'], ['iter_2.pth'], ['iter_3.pth'], ['iter_4.pth']]
    assert listed(tmp_path) == {'epoch_1.pth', 'epoch_2.pth'}
