"""Reading and writing checkpoint files, and what is said about files that are none."""

import ast
import os

import numpy as np
import pytest
import torch
from torch import nn

from tests.workspace import ROOT
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.adapter import export_safetensors
from vlpeft.checkpoint.files import read_checkpoint, write_checkpoint, write_safetensors
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.checkpoint.identity import base_identity, check_base


@pytest.mark.parametrize('suffix', ['.pth', '.pt', '.bin', '.pyth'])
@pytest.mark.parametrize('zipped', [True, False])
def test_torch_files(tmp_path, suffix, zipped):
    path = tmp_path / f'a{suffix}'
    torch.save(dict(model=dict(w=torch.arange(3.0)), epoch=2), path, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert read['epoch'] == 2 and read['model']['w'].tolist() == [0, 1, 2]


def test_safetensors_round_trip_with_tied_and_viewed_tensors(tmp_path):
    table = nn.Embedding(4, 3).weight
    state = dict(
        words=table,
        decoder=table,
        row=table[1],
        turned=table.t(),
        scalar=torch.tensor(0.07),
        half=torch.randn(3).bfloat16(),
        ids=torch.arange(3),
    )
    meta = dict(base=dict(name='model_base.pth', sha256='ab'), epoch=3)
    path = tmp_path / 'sub' / 'a.safetensors'
    write_safetensors(state, path, meta)
    read = read_checkpoint(path)
    assert read['meta'] == meta
    assert {key: value.dtype for key, value in read['state_dict'].items()} == {k: v.dtype for k, v in state.items()}
    for key, tensor in state.items():
        assert torch.equal(read['state_dict'][key], tensor), key
    assert sorted(os.listdir(path.parent)) == ['a.safetensors', 'a.safetensors.manifest.json']
    assert path.stat().st_mode & 0o777 == 0o644


def test_adapter_export(tmp_path):
    state, meta = {'adapter.layers.0.down.weight': torch.randn(2, 3)}, dict(base=dict(name='b', sha256='c'))
    export_safetensors(state, tmp_path / 'a.safetensors', meta)
    read = Checkpoint.read(tmp_path / 'a.safetensors')
    assert read.meta == meta and list(read.weights) == list(state) and read.origin == str(tmp_path / 'a.safetensors')
    assert torch.equal(read.weights['adapter.layers.0.down.weight'], state['adapter.layers.0.down.weight'])
    with pytest.raises(CheckpointError, match='empty'):
        export_safetensors({}, tmp_path / 'b.safetensors', meta)
    with pytest.raises(CheckpointError, match='safetensors'):
        export_safetensors(state, tmp_path / 'b.pth', meta)


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'a.pth'
    write_checkpoint(dict(epoch=torch.tensor(1)), path)
    with pytest.raises(Exception):
        write_checkpoint(dict(broken=lambda: None), path)
    assert read_checkpoint(path)['epoch'] == 1
    assert sorted(os.listdir(tmp_path)) == ['a.pth', 'a.pth.manifest.json']


@pytest.mark.parametrize(
    'name, content, found',
    [
        ('a.pth', b'', 'an empty file'),
        ('a.pth', b'version https://git-lfs.github.com/spec/v1\noid sha256:1', 'Git LFS pointer'),
        ('a.pth', b'<!DOCTYPE html><html>Not found</html>', 'HTML page'),
        ('a.pth', b'\x00\x01random bytes', r"14 bytes beginning with b'\\x00\\x01random"),
        ('a.bin', b'PK\x03\x04cut off', 'beginning with b.PK'),
        ('a.safetensors', b'<html>', 'HTML page'),
        ('a.safetensors', b'\xff' * 40, '40 bytes'),
        ('a.npz', b'', 'an empty file'),
        ('a.npz', b'<html>', 'HTML page'),
        ('a.npz', b'PK\x03\x04cut off', 'beginning with b.PK'),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=found) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value) and 'expected a' in str(error.value)


def test_truncated_checkpoint(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(w=torch.randn(1000)), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match='2000 bytes'):
        read_checkpoint(path)


def test_other_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        read_checkpoint(tmp_path / 'nowhere.pth')
    (tmp_path / 'a.ckpt').write_bytes(b'x')
    with pytest.raises(CheckpointError, match=r"'.ckpt'; expected one of .pth, .pt, .bin, .pyth, .safetensors, .npz"):
        read_checkpoint(tmp_path / 'a.ckpt')
    torch.save([torch.zeros(1)], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='expected a dict of tensors, found list'):
        read_checkpoint(tmp_path / 'list.pth')


def test_numpy_files_hold_numbers_and_are_never_unpickled(tmp_path):
    path = tmp_path / 'a.npz'
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(path, **{'head/kernel': numbers})
    assert torch.equal(read_checkpoint(path)['head/kernel'], torch.from_numpy(numbers))
    for odd in (np.array([object()]), np.array(['text'])):
        np.savez(path, odd=odd)
        with pytest.raises(CheckpointError, match='a.npz: expected a .npz file of numbers'):
            read_checkpoint(path)


def test_base_identity(tmp_path):
    path = tmp_path / 'base.pth'
    path.write_bytes(b'abc')
    known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert base_identity(path) == base_identity(path.as_uri()) == dict(name='base.pth', sha256=known)
    path.write_bytes(b'abcd')
    assert file_sha256(path) != known, 'a rewritten file must be hashed again'
    check_base(dict(name='a', sha256='1'), dict(name='b', sha256='1'), 'adapter.pth')
    with pytest.raises(CheckpointError, match='adapter.pth(.|\n)*a  sha256 1(.|\n)*b  sha256 2'):
        check_base(dict(name='a', sha256='1'), dict(name='b', sha256='2'), 'adapter.pth')
    with pytest.raises(CheckpointError, match='adapter.pth .* needs its base a'):
        check_base(dict(name='a', sha256='1'), None, 'adapter.pth')


#: What reads all of a file, because it is no model's weights: runs to go on with, a batch, an index of encoded files.
OTHER_FILES = (
    'engine/work_folder',
    'engine/preflight/resume',
    'engine/bad_batch',
    'apis/retrieval_index',
    'checkpoint/',
)


def test_weights_are_read_in_one_way():
    for folder in ('vlpeft', 'tools'):
        for path in sorted((ROOT / folder).rglob('*.py')):
            if path.relative_to(ROOT / folder).as_posix().startswith(OTHER_FILES):
                continue
            called = {getattr(node.func, 'id', None) or getattr(node.func, 'attr', None) for node in calls(path)}
            assert not called & {'read_checkpoint', 'safe_open', 'load_file'}, path


def calls(path):
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
