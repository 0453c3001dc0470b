"""``vlpeft doctor``: what works is said to work, what is broken is found, and nothing waits long."""

import json
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from huggingface_hub import constants
from packaging.requirements import Requirement

from tests.apis.tiny_zoo import FileServer
from tests.media import write_video
from tests.workspace import ROOT, write_workspace
from tools.misc.doctor import main
from vlpeft.doctor import libraries, machine, media
from vlpeft.doctor.findings import BROKEN, MISSING, NOTE, OK


def report(capsys, *arguments):
    """(exit code, {topic: [(level, text)]}) of ``doctor --json``."""
    capsys.readouterr()
    code = main(['--json', *map(str, arguments)])
    topics: dict = {}
    for finding in json.loads(capsys.readouterr().out):
        topics.setdefault(finding['topic'], []).append((finding['level'], finding['text']))
    return code, topics


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)


def test_a_working_installation(tmp_path, monkeypatch, capsys, offline):
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'cache'))
    config = write_workspace(tmp_path)
    code, topics = report(capsys, config)
    assert code == 0, topics
    assert topics['Python'][0][1].startswith('.'.join(map(str, sys.version_info[:3])))
    assert {'vlpeft', 'torch', 'mmengine', 'transformers', 'imports', 'video H.264', 'Java', 'tokenizers'} <= set(
        topics
    )
    assert topics['video H.264'] == [(OK, 'decoded by PyAV and decord')]
    assert topics['download cache'][0][1].startswith(f'{tmp_path / "cache"}, 0.00 GB')
    assert topics[str(config)][-1] == (OK, 'its data, base and tokenizer can be found; train and test can start')


def test_what_a_recipe_lacks(tmp_path, monkeypatch, capsys, offline):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'cache'))
    code, topics = report(capsys, 'uniadapter_blip_msrvtt')
    assert code == 1
    found = topics['uniadapter_blip_msrvtt']
    lacking = [text for level, text in found if level == MISSING]
    assert any('data/msrvtt/MSRVTT_data.json does not exist' in text for text in lacking)
    assert any("vocabulary 'bert-base-uncased'" in text for text in lacking)
    assert any(level == NOTE and text.endswith('model_base.pth will be downloaded') for level, text in found)


def test_unknown_recipe(capsys, offline):
    with pytest.raises(SystemExit) as stop:
        main(['uniadapter/blip_msrvt'])
    assert stop.value.code == 2 and 'did you mean uniadapter/blip_msrvtt' in capsys.readouterr().err


def test_a_library_that_does_not_import(tmp_path):
    (tmp_path / 'torch').mkdir()
    (tmp_path / 'torch/__init__.py').write_text('raise ImportError("libtorch_cuda.so is missing")')
    environment = dict(PYTHONPATH=f'{tmp_path}:{ROOT}', PATH='/usr/bin:/bin', HOME=str(tmp_path), HF_HUB_OFFLINE='1')
    command = [sys.executable, '-m', 'vlpeft', 'doctor']
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert '[BROKEN ] torch: cannot be imported: ImportError: libtorch_cuda.so is missing' in done.stdout


# https://github.com/pytorch/vision#installation
@pytest.mark.parametrize(
    'torch, torchvision',
    [('2.0', '0.15'), ('2.1', '0.16'), ('2.2', '0.17'), ('2.3', '0.18'), ('2.4', '0.19'), ('2.5', '0.20')]
    + [('2.6', '0.21'), ('2.7', '0.22'), ('2.8', '0.23'), ('2.9', '0.24')],
)
def test_pairs_that_belong_together(torch, torchvision):
    assert not list(libraries.check_pair(f'{torch}.1', f'{torchvision}.1'))
    assert not list(libraries.check_pair(f'{torch}.0+cu126', f'{torchvision}.0+cu126'))
    (finding,) = libraries.check_pair(f'{torch}.0+cu126', f'{torchvision}.0+cpu')
    assert finding.level == BROKEN and 'built for cu126, torchvision for cpu' in finding.text
    (finding,) = libraries.check_pair('2.11.0', f'{torchvision}.0')
    assert finding.level == BROKEN and f'goes with torchvision 0.26, not {torchvision}.0' in finding.text


def test_requirements():
    assert {'torch', 'mmengine', 'transformers'} <= {item.name for item in libraries.requirements()}
    assert 'wandb' not in {item.name for item in libraries.requirements()}
    old = libraries.check_requirement(Requirement('transformers>=2,<4'))
    assert old.level == BROKEN and "pip install 'transformers<4,>=2'" in old.text
    absent = libraries.check_requirement(Requirement('a-library-that-is-not-there>=1'))
    assert absent.level == BROKEN and absent.text.startswith('not installed: pip install')


def test_readers_are_believed_only_if_the_frames_are_right(tmp_path):
    white = np.full((len(media.LEVELS), 48, 64, 3), 255, np.uint8)
    good, wrong, torn = tmp_path / 'good.mp4', write_video(tmp_path / 'white.mp4', white), tmp_path / 'torn.mp4'
    media.write_clip(good, 'mpeg4')
    torn.write_bytes(good.read_bytes()[:200])
    for reader in media.READERS:
        assert media.fault(reader, good) == ''
        assert 'came back as [2' in media.fault(reader, wrong)
        assert media.fault(reader, torn) != ''


def test_codecs_without_a_reader(monkeypatch):
    monkeypatch.setattr(media, 'CODECS', {'MPEG-4': 'mpeg4', 'none': 'an-encoder-to-come'})
    monkeypatch.setitem(media.READERS, 'decord', 'AReaderToCome')
    one, none = media.check_media()
    assert one.level == NOTE and 'decord: KeyError' in one.text and one.text.endswith('use PyAVReader')
    assert none.level == NOTE and none.text.startswith('not tried')
    monkeypatch.setitem(media.READERS, 'PyAV', 'AReaderToCome')
    assert [finding.level for finding in media.check_media()] == [BROKEN, NOTE]


def test_java(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    assert machine.check_java().level == NOTE and 'not found' in machine.check_java().text
    java = tmp_path / 'java'
    for code, level, text in ((0, OK, 'version 99'), (1, NOTE, 'does not start (version 99)')):
        java.write_text(f'#!/bin/sh\necho version 99 >&2\nexit {code}\n')
        java.chmod(0o755)
        assert machine.check_java().level == level and text in machine.check_java().text


def test_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path))
    (tmp_path / 'folder').mkdir()
    with (tmp_path / 'folder/base.pth').open('wb') as file:
        file.truncate(3 * 10**9)
    assert machine.check_cache() == ('download cache', OK, f'{tmp_path}, 3.00 GB (VLPEFT_CACHE chooses another folder)')
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'folder/base.pth/below'))
    assert machine.check_cache().level == BROKEN


def test_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    server = FileServer(tmp_path)
    monkeypatch.setattr(constants, 'ENDPOINT', server.url + '/nothing')
    assert machine.check_hub().level == OK
    server.close()
    assert machine.check_hub().level == NOTE and 'cannot be reached' in machine.check_hub().text
    # It accepts, and never says anything.
    with socket.create_server(('127.0.0.1', 0)) as silent:
        monkeypatch.setattr(constants, 'ENDPOINT', f'http://127.0.0.1:{silent.getsockname()[1]}')
        start = time.monotonic()
        assert machine.check_hub().level == NOTE
        assert time.monotonic() - start < machine.HUB_TIMEOUT_S + 10
