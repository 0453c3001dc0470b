"""Uploading to a server that takes the requests of huggingface_hub as the hub does; the hub itself is not asked."""

import base64
import hashlib
import http.server
import json
import threading

import pytest
from published_run import publish

TOKEN = 'hf_of_a_test'


class Hub:
    """The endpoints that an upload of small files uses: make a repository, ask how files go, take a commit."""

    def __init__(self, refuse: bool = False) -> None:
        self.calls, self.files, self.made = [], {}, []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self, content, code: int = 200) -> None:
                data = json.dumps(content).encode()
                self.send_response(code)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                hub.calls.append(self.path)
                self._answer(dict(id='me/mine', sha='1' * 40, siblings=[]))

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                hub.calls.append(self.path)
                assert self.headers['Authorization'] == f'Bearer {TOKEN}'
                if refuse:
                    self._answer(dict(error='You have no right to write here'), 403)
                elif self.path == '/api/repos/create':
                    hub.made.append(json.loads(body))
                    self._answer(dict(url=f'{hub.url}/me/mine'))
                elif self.path.endswith('/preupload/main'):
                    names = [file['path'] for file in json.loads(body)['files']]
                    self._answer(
                        dict(files=[dict(path=name, uploadMode='regular', shouldIgnore=False) for name in names])
                    )
                elif self.path.endswith('/commit/main'):
                    for line in body.splitlines():
                        entry = json.loads(line)
                        if entry['key'] == 'file':
                            hub.files[entry['value']['path']] = base64.b64decode(entry['value']['content'])
                    self._answer(dict(commitOid='2' * 40, commitUrl=f'{hub.url}/me/mine/commit/{"2" * 40}'))
                else:
                    self._answer({})

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def api(monkeypatch):
    """Lets huggingface_hub, which reads its address when it is imported, ask a server of this machine."""

    def start(**options) -> Hub:
        from huggingface_hub import constants

        hub = Hub(**options)
        servers.append(hub)
        monkeypatch.setattr(constants, 'ENDPOINT', hub.url)
        monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
        monkeypatch.setenv('HF_TOKEN', TOKEN)
        return hub

    servers = []
    yield start
    for hub in servers:
        hub.server.shutdown()
        hub.server.server_close()


def test_the_folder_is_uploaded_whole_as_a_private_repository(run, tmp_path, api):
    hub = api()
    done = publish(run[1], '--hub-folder', tmp_path / 'mine', '--push', 'me/mine')
    assert done.returncode == 0, done.stderr
    assert hub.calls == [], 'without --yes nothing is sent'
    assert 'not uploaded without --yes' in done.stdout and 'vlpeft_trained.safetensors' in done.stdout
    done = publish(run[1], '--hub-folder', tmp_path / 'mine', '--overwrite', '--push', 'me/mine', '--yes')
    assert done.returncode == 0, done.stderr
    assert done.stdout.index('vlpeft_trained.safetensors') < done.stdout.index('uploaded: ')
    (made,) = hub.made
    # What huggingface_hub says before and after its version 1.
    assert (made['name'], made['organization']) == ('mine', 'me')
    assert made.get('private') is True or made.get('visibility') == 'private'
    folder = tmp_path / 'mine'
    there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    digests = [{name: hashlib.sha256(data).hexdigest() for name, data in files.items()} for files in (hub.files, there)]
    assert digests[0] == digests[1]
    assert "huggingface_hub.snapshot_download('me/mine')" in there['README.md'].decode()


def test_a_refusal_of_the_hub_is_one_line_and_the_folder_stays(run, tmp_path, api):
    api(refuse=True)
    done = publish(run[1], '--hub-folder', tmp_path / 'mine', '--push', 'me/mine', '--yes')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'me/mine was not uploaded: ' in done.stderr and 'is complete' in done.stderr
    assert (tmp_path / 'mine/README.md').is_file()


def test_a_name_that_is_none(run, tmp_path):
    done = publish(run[1], '--hub-folder', tmp_path / 'mine', '--push', 'mine')
    assert done.returncode == 1 and 'it has the form owner/name' in done.stderr
    assert not (tmp_path / 'mine').exists()
