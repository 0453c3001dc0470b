"""Checkpoints in several files: read, fetched from a real server, told apart by what the files hold."""

import functools
import http.server
import json
import threading

import pytest
import torch
from safetensors.torch import save_file

from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.files import read_checkpoint
from vlpeft.checkpoint.identity import base_identity

STATE = {f'layer.{i}.weight': torch.full((2, 3), float(i)) for i in range(4)}


def write_shards(folder, suffix, state=STATE):
    """Two files and their index."""
    folder.mkdir()
    keys, where = list(state), {}
    for number, part in enumerate((keys[:3], keys[3:]), 1):
        name = f'model-0000{number}-of-00002{suffix}'
        (save_file if suffix == '.safetensors' else torch.save)({key: state[key] for key in part}, folder / name)
        where.update(dict.fromkeys(part, name))
    index = folder / f'model{suffix}.index.json'
    index.write_text(json.dumps(dict(metadata={}, weight_map=where)))
    return index


@pytest.mark.parametrize('suffix', ['.bin', '.safetensors'])
def test_all_files_are_read_and_identified(tmp_path, suffix):
    index = write_shards(tmp_path / 'a', suffix)
    found = read_checkpoint(index)
    assert set(found) == set(STATE) and all(torch.equal(found[key], value) for key, value in STATE.items())
    changed = {key: value + (key == 'layer.3.weight') for key, value in STATE.items()}
    other = write_shards(tmp_path / 'b', suffix, changed)
    assert other.read_text() == index.read_text()
    assert base_identity(index)['sha256'] != base_identity(other)['sha256']


def test_the_files_come_with_the_index(tmp_path, monkeypatch):
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'cache'))
    index = write_shards(tmp_path / 'hub', '.bin')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(index.parent))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        path = fetch(f'http://127.0.0.1:{server.server_port}/{index.name}')
        server.shutdown()
    assert path != index and set(read_checkpoint(path)) == set(STATE)
    assert base_identity(path)['sha256'] == base_identity(index)['sha256']


@pytest.mark.parametrize(
    'content, message',
    [
        ('[]', 'it has no "weight_map"'),
        ('{"weight_map": {}}', 'got none'),
        ('not json', 'it has no "weight_map"'),
        ('{"weight_map": {"a": "../secret.bin"}}', 'must stand beside the index'),
        ('{"weight_map": {"a": "other.index.json"}}', 'must stand beside the index'),
    ],
)
def test_what_is_no_index_is_an_error(tmp_path, content, message):
    path = tmp_path / 'model.bin.index.json'
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    index = write_shards(tmp_path / 'a', '.bin')
    (index.parent / 'model-00002-of-00002.bin').unlink()
    with pytest.raises(FileNotFoundError, match='model-00002-of-00002.bin'):
        read_checkpoint(index)
