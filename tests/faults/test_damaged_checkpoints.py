"""Damaged checkpoints, manifests and configs are errors of one kind, or read right; never other numbers in silence."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from tests.faults.damaged_files import damaged
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint, write_checkpoint, write_safetensors
from vlpeft.checkpoint.manifest import manifest_of
from vlpeft.engine.config_file import ConfigFileError, read_config
from vlpeft.engine.work_folder import newest_checkpoint

DAMAGES = ('bits', 'head', 'sizes', 'cut', 'zeros', 'swap')
SEEDS = 25
STATE = dict(w=torch.arange(600.0).reshape(20, 30), v=torch.full((7,), 0.5), ids=torch.arange(9))


def changed(whole: bytes, damage: str, *seed: int) -> bytes:
    """Damaged, and really another file."""
    draw = np.random.default_rng([*seed, *damage.encode()])
    while True:
        data = damaged(whole, damage, draw)
        if data != whole:
            return data


def same(found: dict) -> bool:
    state = found.get('state_dict', found)
    return set(state) == set(STATE) and all(torch.equal(state[key], value) for key, value in STATE.items())


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
@pytest.mark.parametrize('which', ['file', 'manifest'])
def test_checkpoints(tmp_path, suffix, which):
    path = tmp_path / f'a.{suffix}'
    write_checkpoint(STATE, path) if suffix == 'pth' else write_safetensors(STATE, path)
    target = path if which == 'file' else manifest_of(path)
    whole, found = target.read_bytes(), Counter()
    for damage in DAMAGES:
        for seed in range(SEEDS):
            target.write_bytes(changed(whole, damage, seed, len(suffix)))
            try:
                found['right' if same(read_checkpoint(path)) else 'wrong'] += 1
            except CheckpointError as error:
                assert path.name in str(error)
                found['error'] += 1
    print(f'\n{which} of .{suffix}: {dict(found)}')
    assert found['wrong'] == 0 and sum(found.values()) == len(DAMAGES) * SEEDS
    # A manifest may be damaged where nothing of it counts; a file may not.
    assert found['right'] == 0 or which == 'manifest'


def test_work_folders_go_on_from_the_checkpoint_that_is_whole(tmp_path):
    """The newest of three is damaged in every way."""
    for number in (1, 2, 3):
        write_checkpoint(
            dict(state_dict=STATE, optimizer={}, meta=dict(iter=number, epoch=number, saved_at=number)),
            tmp_path / f'epoch_{number}.pth',
        )
    newest = tmp_path / 'epoch_3.pth'
    whole = newest.read_bytes()
    for damage in DAMAGES:
        for seed in range(SEEDS):
            newest.write_bytes(changed(whole, damage, seed))
            assert newest_checkpoint(tmp_path).name == 'epoch_2.pth'


TEXTS = dict(
    yaml='model:\n  type: Retriever\n  width: 768\n  text: {depth: 12}\nlr: 1.0e-4\n',
    json=json.dumps(dict(model=dict(type='Retriever', width=768, text=dict(depth=12)), lr=1e-4)),
)


@pytest.mark.parametrize('suffix', ['yaml', 'json'])
def test_configs(tmp_path, suffix):
    """What is damaged is no config, or a config of its own: text has no checksum. It is never another error."""
    path, found = tmp_path / f'a.{suffix}', Counter()
    for damage in DAMAGES:
        for seed in range(SEEDS):
            path.write_bytes(changed(TEXTS[suffix].encode(), damage, seed))
            try:
                read_config(path)
                found['another config'] += 1
            except ConfigFileError as error:
                assert path.name in str(error)
                found['error'] += 1
    print(f'\n.{suffix}: {dict(found)}')
    assert found['error'] > len(DAMAGES) * SEEDS // 3
