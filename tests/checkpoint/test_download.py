"""fetch() against a real HTTP server that supports Range and can break a transfer."""

import hashlib
import http.server
import subprocess
import sys
import threading
import time

import pytest

from vlpeft.checkpoint import CheckpointError, download
from vlpeft.checkpoint.download import fetch

CONTENT = bytes(range(256)) * 4096 * 3
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under any name but /missing, Range included; the server object says what goes wrong."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        state = self.server.state
        content = state['content']
        state['requests'].append(self.headers.get('Range'))
        if self.path.startswith('/moved'):
            self.send_response(302)
            self.send_header('Location', state['location'])
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        if self.path.startswith('/missing'):
            self.send_error(404)
            return
        time.sleep(state['delay_s'])
        start = 0
        current = self.headers.get('If-Range') == state['etag']
        if state['ranges'] and current and (asked := self.headers.get('Range')):
            start = int(asked[len('bytes=') : -1])
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header('ETag', state['etag'])
        if 'type' in state:
            self.send_header('Content-Type', state['type'])
        self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        end = len(content)
        if state['break_after']:
            end = start + state['break_after'].pop(0)
        self.wfile.write(content[start:end])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, '_PAUSE_S', 0.01)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.state = dict(content=CONTENT, etag='"1"', ranges=True, break_after=[], delay_s=0, requests=[])
    server.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def leftovers(folder):
    return [
        path.name
        for path in folder.rglob('*')
        if path.is_file() and not path.name.endswith(('.lock', '.manifest.json'))
    ]


def test_download_is_cached_and_hash_checked(server, tmp_path):
    path = fetch(f'{server.url}/model_base.pth', sha256=SHA256.upper(), cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT and path.name == 'model_base.pth'
    assert fetch(f'{server.url}/model_base.pth', sha256=SHA256, cache_dir=tmp_path) == path
    assert server.state['requests'] == [None]
    assert leftovers(tmp_path) == ['model_base.pth']
    assert fetch(f'{server.url}/other/model_base.pth', cache_dir=tmp_path) != path


def test_cache_variable(server, tmp_path, monkeypatch):
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'here'))
    assert (tmp_path / 'here') in fetch(f'{server.url}/a.pth').parents


def test_broken_transfer_resumes_by_range(server, tmp_path):
    server.state['break_after'] = [1_000_000, 500_000]
    path = fetch(f'{server.url}/a.pth', sha256=SHA256, cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.state['requests'] == [None, 'bytes=1000000-', 'bytes=1500000-']


def test_next_call_resumes_after_giving_up(server, tmp_path):
    server.state['break_after'] = [100_000] * 4
    with pytest.raises(CheckpointError, match=r'400000 bytes are kept in .*a\.pth\.part'):
        fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    path = fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.state['requests'][-1] == 'bytes=400000-'
    assert leftovers(tmp_path) == ['a.pth']


def test_server_without_range_starts_over(server, tmp_path):
    server.state.update(break_after=[100_000], ranges=False)
    assert fetch(f'{server.url}/a.pth', cache_dir=tmp_path).read_bytes() == CONTENT


def test_changed_file_is_not_glued_to_the_old_beginning(server, tmp_path):
    server.state['break_after'] = [100_000] * 4
    with pytest.raises(CheckpointError):
        fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    server.state.update(content=CONTENT[::-1], etag='"2"')
    assert fetch(f'{server.url}/a.pth', cache_dir=tmp_path).read_bytes() == CONTENT[::-1]


def test_hash_mismatch_names_both_and_keeps_nothing(server, tmp_path):
    with pytest.raises(CheckpointError) as error:
        fetch(f'{server.url}/a.pth', sha256='0' * 64, cache_dir=tmp_path)
    assert '0' * 64 in str(error.value) and SHA256 in str(error.value) and server.url in str(error.value)
    assert leftovers(tmp_path) == []


def test_damaged_cache_is_downloaded_again(server, tmp_path):
    path = fetch(f'{server.url}/a.pth', sha256=SHA256, cache_dir=tmp_path)
    path.write_bytes(b'damaged')
    assert fetch(f'{server.url}/a.pth', sha256=SHA256, cache_dir=tmp_path).read_bytes() == CONTENT


def test_the_hash_of_the_first_download_is_kept(server, tmp_path):
    """Without a known hash: a damaged file is replaced by the same one, and another one is refused."""
    path = fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    path.write_bytes(CONTENT[:-1] + b'X')
    assert fetch(f'{server.url}/a.pth', cache_dir=tmp_path).read_bytes() == CONTENT
    path.unlink()
    other = CONTENT[::-1]
    server.state.update(content=other, etag='"2"')
    advice = r'(?s)hash of the first download.*remove .*a\.pth\.manifest\.json'
    with pytest.raises(CheckpointError, match=advice) as error:
        fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    assert SHA256 in str(error.value) and hashlib.sha256(other).hexdigest() in str(error.value)
    assert leftovers(tmp_path) == []
    # Who knows the new hash has the last word, and it is the one to compare with from then on.
    assert fetch(f'{server.url}/a.pth', sha256=hashlib.sha256(other).hexdigest(), cache_dir=tmp_path) == path
    assert fetch(f'{server.url}/a.pth', cache_dir=tmp_path).read_bytes() == other


def test_a_file_of_a_cache_without_a_record_gets_one(server, tmp_path):
    path = fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    manifest = path.with_name('a.pth.manifest.json')
    manifest.unlink()
    assert fetch(f'{server.url}/a.pth', cache_dir=tmp_path) == path and len(server.state['requests']) == 1
    assert SHA256 in manifest.read_text()


@pytest.mark.parametrize(
    'change, problem',
    [
        (dict(type='text/html; charset=utf-8'), 'a web page'),
        (dict(content=b'  <!DOCTYPE html><title>Log in</title>' + b' ' * 2000), 'a web page'),
        (dict(content=b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>' + b' ' * 100), 'a web page'),
        (dict(content=b''), '0 bytes'),
        (dict(content=b'{"error": "rate limit"}'), 'rate limit.*shorter than any checkpoint'),
    ],
)
def test_pages_and_short_replies_are_no_files(server, tmp_path, change, problem):
    server.state.update(change)
    with pytest.raises(CheckpointError, match=f'a.pth gives .*{problem}'):
        fetch(f'{server.url}/a.pth', cache_dir=tmp_path)
    assert len(server.state['requests']) == 1 and leftovers(tmp_path) == []


@pytest.mark.parametrize('scheme', ['file', 'ftp', 'data', 'gopher'])
def test_redirects_to_other_schemes_are_not_followed(server, tmp_path, scheme):
    secret = tmp_path / 'secret.pth'
    secret.write_bytes(CONTENT)
    server.state['location'] = {'file': secret.as_uri(), 'data': 'data:,' + 'x' * 100}.get(
        scheme, f'{scheme}://127.0.0.1:1/a'
    )
    with pytest.raises(CheckpointError, match=f'moved.pth.*{scheme}:'):
        fetch(f'{server.url}/moved.pth', cache_dir=tmp_path / 'cache')
    assert leftovers(tmp_path / 'cache') == []


def test_redirects_to_other_hosts_are_followed(server, tmp_path):
    server.state['location'] = f'http://localhost:{server.server_port}/b.pth'
    assert fetch(f'{server.url}/moved.pth', cache_dir=tmp_path).read_bytes() == CONTENT


def test_https_is_not_left_for_http():
    from urllib.request import Request

    from vlpeft.checkpoint.reply import _Redirects

    with pytest.raises(CheckpointError, match='from https'):
        _Redirects().redirect_request(Request('https://a/x'), None, 302, '', {}, 'http://a/x')


def test_http_error_is_final(server, tmp_path):
    with pytest.raises(CheckpointError, match='missing.pth: HTTP 404'):
        fetch(f'{server.url}/missing.pth', cache_dir=tmp_path)
    assert len(server.state['requests']) == 1


def test_processes_share_one_download(server, tmp_path):
    server.state['delay_s'] = 0.5
    code = (
        'import sys; from vlpeft.checkpoint.download import fetch; print("ready", flush=True);'
        f'sys.stdin.readline(); print(fetch({server.url + "/a.pth"!r}, cache_dir={str(tmp_path)!r}))'
    )
    workers = [
        subprocess.Popen(
            [sys.executable, '-c', code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    assert [worker.stdout.readline() for worker in workers] == ['ready\n'] * 2
    for worker in workers:
        worker.stdin.write('go\n')
        worker.stdin.flush()
    paths = {worker.communicate(timeout=60)[0].strip() for worker in workers}
    assert paths == {str(fetch(f'{server.url}/a.pth', sha256=SHA256, cache_dir=tmp_path))}
    assert len(server.state['requests']) == 1


def test_local_files(tmp_path):
    path = tmp_path / 'with space.pth'
    path.write_bytes(CONTENT)
    assert fetch(path) == path
    assert fetch(path.as_uri(), sha256=SHA256) == path
    with pytest.raises(CheckpointError, match=SHA256):
        fetch(path, sha256='1' * 64)
    assert path.exists(), "a user's own file is never deleted"
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        fetch(tmp_path / 'nowhere.pth')
    with pytest.raises(ValueError, match='file, http, https'):
        fetch('s3://bucket/a.pth')
