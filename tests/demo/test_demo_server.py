"""What the server of the demo page gives out, takes and refuses."""

import os
import tempfile
from pathlib import Path

import pytest

pytest.importorskip('gradio')
import gradio as gr
import httpx
from gradio.route_utils import delete_files_created_by_app
from starlette.testclient import TestClient

from tests.media import write_image
from vlpeft.demo import page as page_module
from vlpeft.demo.address import address_of, listen, local_names
from vlpeft.demo.examples import Example
from vlpeft.demo.server import build_app, temporary_uploads


@pytest.fixture
def files(tmp_path):
    for name in ('shown.mp4', 'hidden.mp4'):
        (tmp_path / name).write_bytes(name.encode() * 50)
    return tmp_path


@pytest.fixture
def client(files):
    """Of an app that plays one file; its page says the name of what it is given."""
    with temporary_uploads():
        with gr.Blocks(analytics_enabled=False) as page:
            file, name = gr.File(), gr.HTML()
            file.upload(lambda path: Path(path).read_text(), file, name, api_name='read')
        app = build_app(page, [str(files / 'shown.mp4')], ['localhost', '127.0.0.1'])
        with TestClient(app, base_url='http://127.0.0.1:7860') as client:
            yield client


def test_only_the_numbered_files_are_given_out(client, files):
    assert client.get('/clips/0').content == b'shown.mp4' * 50
    part = client.get('/clips/0', headers=dict(Range='bytes=0-8'))
    assert (part.status_code, part.content) == (206, b'shown.mp4')
    for path in ('/clips/1', '/clips/-1', '/clips/x', f'/gradio_api/file={files}/hidden.mp4', '/clips/../hidden.mp4'):
        assert client.get(path).status_code in (403, 404, 422), path
    (files / 'shown.mp4').unlink()
    assert client.get('/clips/0').status_code == 404


def test_a_visitor_cannot_name_a_file_that_he_did_not_send(client, files):
    data = dict(path=str(files / 'hidden.mp4'), meta=dict(_type='gradio.FileData'))
    response = client.post('/gradio_api/run/read', json=dict(data=[data]))
    assert response.status_code == 500 and 'hidden.mp4hidden' not in response.text
    sent = client.post('/gradio_api/upload', files=dict(files=('mine.txt', b'my own'))).json()
    response = client.post('/gradio_api/run/read', json=dict(data=[dict(data, path=sent[0])]))
    assert response.json()['data'] == ['my own']


def test_every_answer_forbids_foreign_addresses_and_foreign_names_are_refused(client):
    for path in ('/', '/config', '/clips/0', '/nowhere'):
        headers = client.get(path).headers
        assert headers['Content-Security-Policy'].startswith("default-src 'self'"), path
        assert headers['X-Content-Type-Options'] == 'nosniff'
    assert client.get('/', headers=dict(Host='evil.example')).status_code == 400
    assert client.get('/', headers=dict(Host='localhost:7860')).status_code == 200


def test_too_large_an_upload_is_refused(client, monkeypatch):
    page = client.app.routes[-1].app.get_blocks()
    assert page.max_file_size == 200 * 2**20
    monkeypatch.setattr(page, 'max_file_size', 1000)
    response = client.post('/gradio_api/upload', files=dict(files=('large.mp4', b'x' * 2000)))
    assert response.status_code == 413


def test_uploads_go_with_the_page(tmp_path):
    before = os.environ.get('GRADIO_TEMP_DIR'), tempfile.gettempdir()
    with temporary_uploads() as folder:
        assert os.path.isdir(folder) and tempfile.gettempdir() == folder
        Path(folder, 'deep').mkdir()
        Path(folder, 'deep/photo.jpg').write_bytes(b'x')
    assert not os.path.exists(folder) and before == (os.environ.get('GRADIO_TEMP_DIR'), tempfile.gettempdir())


def test_nothing_of_the_page_is_from_elsewhere(client):
    page = client.get('/').text
    assert 'fonts.googleapis' not in page and httpx.URL('http://127.0.0.1').host in page


def test_uploads_are_deleted_in_time_but_not_the_examples(tmp_path):
    example = Example(write_image(tmp_path / 'a.png'), 'what?')
    with temporary_uploads() as folder:
        with gr.Blocks(analytics_enabled=False) as page:
            ((handed, button),) = page_module._pictured([example])
        icon, uploaded = button.icon['path'], Path(folder, 'mine.png')
        uploaded.write_bytes(b'x')
        page.upload_file_set.add(str(uploaded))
        delete_files_created_by_app(page, age=-1)
        assert os.path.isfile(icon) and os.path.isfile(handed.path) and not uploaded.exists()
        assert handed.path.startswith(folder) and Path(handed.path).name == 'a.png'


@pytest.mark.parametrize('host', ['127.0.0.1', '127.0.0.2', '::1'])
def test_the_page_is_reached_by_the_address_that_is_printed(host):
    with temporary_uploads(), listen(host, 0) as server:
        with gr.Blocks(analytics_enabled=False) as page:
            gr.HTML('here')
        app = build_app(page, [], local_names(server))
        with TestClient(app, base_url=address_of(server)) as client:
            assert client.get('/').status_code == 200
            assert client.get('/', headers=dict(Host='evil.example')).status_code == 400
