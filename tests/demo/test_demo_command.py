"""``vlpeft demo`` as a process: its first line, its page, and how it ends."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.apis.tiny_zoo import write_trained
from tests.workspace import ROOT, write_workspace

pytest.importorskip('gradio')
import httpx

ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def test_the_page_is_served_until_a_signal_and_leaves_nothing(tmp_path):
    config = write_workspace(tmp_path / 'work')
    write_trained(config, tmp_path / 'trained.pth')
    command = [sys.executable, '-m', 'vlpeft', 'demo', '--port', '0', '--device', 'cpu']
    command += ['--search', config, tmp_path / 'trained.pth', tmp_path / 'work/data']
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda number: serve(command, tmp_path / number.name, number), ENDS))
    assert ends == list(ENDS.values())


def serve(command, folder, number):
    """Starts, asks and ends a page, whose temporary files lie in ``folder``; the exit code."""
    folder.mkdir()
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TMPDIR=str(folder))
    with open(f'{folder}.err', 'w+') as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, cwd=folder, env=environment)
        try:
            address = re.match(r'http://127\.0\.0\.1:\d+(?=  )', process.stdout.readline()).group()
            # Asked before the page is there: it waits.
            page = httpx.get(address, timeout=100)
            assert page.status_code == 200 and 'vlpeft demo' in page.text
            sent = httpx.post(f'{address}/gradio_api/upload', files=dict(files=('a.png', b'x'))).json()
            assert sent[0].startswith(f'{folder}/vlpeft-demo-') and os.path.isfile(sent[0])
            process.send_signal(number)
            out = process.communicate(timeout=60)[0]
        finally:
            process.kill()
        err.seek(0)
        said = out + err.read()
    assert 'ready: search' in out and 'Traceback' not in said, said
    assert list(folder.glob('vlpeft-demo-*')) == []
    return process.returncode
