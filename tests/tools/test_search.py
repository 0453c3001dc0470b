"""tools/demo/search.py from its command line to table and page."""

import subprocess
import sys

import pytest

from tests.apis.tiny_zoo import write_trained
from tests.media import write_image
from tests.workspace import ROOT, write_workspace
from tools.demo import search
from vlpeft.engine.messages import run_main


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('search')
    config = write_workspace(folder / 'work')
    write_trained(config, folder / 'epoch_2.pth')
    write_image(folder / 'work/data/still.png')
    return folder, config, folder / 'epoch_2.pth', folder / 'work/data'


def test_table_index_and_page(place, capsys, monkeypatch):
    folder, config, checkpoint, media = place
    monkeypatch.chdir(folder)
    monkeypatch.setenv('COLUMNS', '200')
    arguments = [
        str(config),
        str(checkpoint),
        str(media),
        'a red square',
        'the & <blue> square',
        '--index',
        'index.safetensors',
        '--top',
        '4',
        '--html',
        'page/found.html',
        '--device',
        'cpu',
    ]
    assert search.main(arguments) == 0
    out, err = capsys.readouterr()
    assert 'a red square' in out and 'the & <blue> square' in out and 'encode' in err
    rows = [line for line in out.splitlines() if 'work/data/' in line]
    assert len(rows) == 8
    page = (folder / 'page/found.html').read_text()
    assert page.count('class="query"') == 2 and page.count('class="caption"') == 8 and 'class="rank' not in page
    assert 'the &amp; &lt;blue&gt; square' in page
    assert search.main([*arguments, '--rerank', '0']) == 0
    out, err = capsys.readouterr()
    assert 'encode' not in err, 'everything comes from the index'
    assert len([line for line in out.splitlines() if 'work/data/' in line]) == 8


def test_base_alone_as_a_command(place):
    folder, config, _, media = place
    command = [sys.executable, str(ROOT / 'tools/demo/search.py'), config, 'none', media / 'clip1.mp4', 'a square']
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'clip1.mp4' in done.stdout


@pytest.mark.parametrize(
    'change, message',
    [
        ({0: 'uniadapter_blip'}, 'error: there is no model'),
        ({1: 'nowhere.pth'}, 'error: checkpoint file not found'),
        ({1: 'zoo'}, 'error: no trained weights are published'),
        ({2: 'nowhere'}, 'error: nowhere does not exist'),
    ],
)
def test_errors_are_one_line(place, capsys, change, message):
    arguments = [str(part) for part in (*place[1:], 'a square')]
    for position, value in change.items():
        arguments[position] = value
    assert run_main(lambda: search.main(arguments)) == 1
    assert message in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit):
        search.parse_args(['--help'])
    text = capsys.readouterr().out
    assert all(word in text for word in ('--index', '--top', '--rerank', '--html', 'examples', 'none'))
