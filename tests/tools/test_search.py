"""tools/demo/search.py from its command line to table and page."""

import subprocess
import sys

import pytest
from rich.console import Console

from tests.apis.tiny_zoo import write_trained
from tests.media import write_image
from tests.workspace import ROOT, write_workspace
from tools.demo import search
from vlpeft import RetrievalInferencer
from vlpeft.engine.messages import run_main
from vlpeft.engine.plain_console import plain_console


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
    arguments[3] = 'a red zebra square'
    assert search.main([*arguments, '--rerank', '0']) == 0
    out, err = capsys.readouterr()
    assert 'encode' not in err, 'everything comes from the index'
    assert "warning: search 'a red zebra square': the vocabulary of the model does not know 'zebra'" in err
    assert len([line for line in out.splitlines() if 'work/data/' in line]) == 8


def test_base_alone_as_a_command(place):
    folder, config, _, media = place
    command = [sys.executable, str(ROOT / 'tools/demo/search.py'), config, 'none', media / 'clip1.mp4', 'a square']
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'clip1.mp4' in done.stdout and 'INFO' not in done.stdout + done.stderr


@pytest.mark.parametrize(
    'change, message',
    [
        ({0: 'uniadapter_blip'}, 'error: there is no model'),
        ({1: 'nowhere.pth'}, 'error: checkpoint file not found'),
        ({1: 'zoo'}, 'error: no trained weights are published'),
        ({2: 'nowhere'}, 'error: nowhere does not exist'),
        ({1: 'nowhere.pth', 3: 'a square --html .'}, 'error: .: Is a directory'),
    ],
)
def test_errors_are_one_line(place, capsys, change, message):
    arguments = [str(part) for part in (*place[1:], 'a square')]
    for position, value in change.items():
        arguments[position : position + 1] = value.rsplit(' ', 2) if '--' in value else [value]
    assert run_main(lambda: search.main(arguments)) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('query', ['', ' \t'])
def test_a_blank_query_is_refused_before_anything_is_read(capsys, query):
    with pytest.raises(SystemExit):
        run_main(lambda: search.main(['nowhere.py', 'nowhere.pth', 'nowhere', 'a dog', query]))
    err = capsys.readouterr().err
    assert err.startswith(f'error: the query {query!r} is blank (see ') and err.count('\n') == 1


def test_a_query_of_unknown_words_is_refused_before_files_are_encoded(place, capsys, tmp_path):
    _, config, checkpoint, media = place
    index = tmp_path / 'index.safetensors'
    arguments = [str(config), str(checkpoint), str(media), 'a square', 'Zebra', '--index', str(index)]
    assert run_main(lambda: search.main(arguments)) == 1
    err = capsys.readouterr().err
    assert "error: search: the vocabulary of the model knows no word of the text 'Zebra'" in err
    assert 'encode' not in err and not index.exists()


def test_results_of_which_no_file_is_left(place, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    _, config, checkpoint, _ = place
    media = tmp_path / 'media'
    media.mkdir()
    write_image(media / 'still.png')
    finder = RetrievalInferencer(config, checkpoint, device='cpu').index(media)
    (media / 'still.png').unlink()
    results = {'a square': finder.search('a square')}
    assert results == {'a square': []} and finder.skipped == {str(media / 'still.png'): 'no such file'}
    search.show(results, Console())
    search.write_page(str(tmp_path / 'found.html'), results)
    assert 'nothing that can be read' in capsys.readouterr().out
    assert 'nothing that can be read' in (tmp_path / 'found.html').read_text()


def test_help(capsys):
    with pytest.raises(SystemExit):
        search.parse_args(['--help'])
    text = capsys.readouterr().out
    assert all(word in text for word in ('--index', '--top', '--rerank', '--html', 'examples', 'none'))


def test_names_and_texts_are_printed_as_they_are(capsys, monkeypatch):
    """To rich square brackets are markup and :cat: a picture."""
    monkeypatch.setenv('COLUMNS', '120')
    search.show({'a [/b] [red]circle :cat:': [('[x] :dog:.png', 0.5)]}, plain_console())
    out = capsys.readouterr().out
    assert 'a [/b] [red]circle :cat:' in out and '[x] :dog:.png' in out
