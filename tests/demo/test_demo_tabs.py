"""What the demo page is made of, without a page: sources, examples, pictures of files, lines of errors."""

import base64
import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.apis.tiny_chats import write_adapter, write_chats
from tests.commands import ROOT, run_script
from tests.media import write_image, write_video
from vlpeft.datasets import ClipError
from vlpeft.demo import fragments
from vlpeft.demo.address import address_of, listen, local_names
from vlpeft.demo.assemble import build_tabs
from vlpeft.demo.examples import Example, read_examples, spread
from vlpeft.demo.media import load_pictures, plays, preview, still
from vlpeft.demo.sources import DemoError, Source, choose_sources
from vlpeft.demo.tab import UNEXPECTED, in_one_line


def frames(count, height=32, width=48):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# ---- which models


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with the trained runs of the quickstart, as far as they go: the first to look for is not there."""
    monkeypatch.chdir(tmp_path)
    for run in ('lora', 'questions_epalm', 'questions_adapters', 'captions_vlpet'):
        folder = tmp_path / 'work_dirs/quickstart' / run
        folder.mkdir(parents=True)
        (folder / 'epoch_3.pth').touch()
        (folder / 'last_checkpoint').write_text(f'/elsewhere/{run}/epoch_3.pth')
    return tmp_path


def test_runs_of_the_quickstart_are_taken_as_far_as_they_are_there(runs):
    (runs / 'work_dirs/quickstart/captions_vlpet/epoch_3.pth').unlink()
    found, missing = choose_sources(None, None, None)
    epalm = Source('quickstart/questions_epalm', 'work_dirs/quickstart/questions_epalm/epoch_3.pth')
    assert found == dict(ask=epalm)
    assert missing == dict(search='bash tools/quickstart.sh', caption='bash tools/quickstart.sh captions')
    (runs / 'data/quickstart/clips/videos').mkdir(parents=True)
    found, _ = choose_sources(None, None, None)
    assert found['search'] == (
        'quickstart/lora',
        'work_dirs/quickstart/lora/epoch_3.pth',
        'data/quickstart/clips/videos',
        True,
    )


def test_nothing_to_show_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DemoError, match='no trained run below work_dirs/quickstart .*bash tools/quickstart.sh trains'):
        choose_sources(None, None, None)
    with pytest.raises(DemoError, match='--search: nowhere is no folder'):
        choose_sources(('a', 'b', 'nowhere'), None, None)
    with pytest.raises(DemoError, match='--ask: without a checkpoint there is nothing to compare'):
        choose_sources(None, ('a', 'none'), None)


def test_own_models_stand_alone(runs):
    found, missing = choose_sources(None, ('mine.py', 'zoo'), None)
    assert found == dict(ask=Source('mine.py', None)) and list(missing) == ['search', 'caption']
    assert missing['caption'] == 'vlpeft demo --caption CONFIG CHECKPOINT'


# ---- examples


def test_examples_are_the_lines_of_the_test_data(tmp_path):
    rows = [
        dict(image='a.png', question='what?', answer={'red': 1.0, 'blue': 0.3}),
        dict(image='a.png', question='who?'),
        dict(video='b.mp4', question='when?', start=1, end=2, answer='now'),
        dict(video='c.mp4', question='where?', answers=['here', 'here', 'there']),
    ]
    (tmp_path / 'test.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    data = dict(type='JSONLQA', data_root=str(tmp_path), ann_file='test.jsonl', pipeline=[dict(type='NoSuchStep')])
    found = read_examples(data)
    assert found == [
        Example(str(tmp_path / 'a.png'), 'what?', ('red', 'blue')),
        Example(str(tmp_path / 'a.png'), 'who?', ()),
        Example(str(tmp_path / 'c.mp4'), 'where?', ('here', 'there')),
    ]
    assert spread(found) == [], 'no file is there'
    for name in ('a.png', 'c.mp4'):
        (tmp_path / name).touch()
    assert [item.text for item in spread(found)] == ['what?', 'where?']
    assert read_examples(dict(data, ann_file='none.jsonl')) == []


def test_examples_are_from_all_over_the_data(tmp_path):
    examples = [Example(str(tmp_path / f'{number // 5}.png'), f'{number}?') for number in range(40)]
    for number in range(8):
        (tmp_path / f'{number}.png').touch()
    assert [item.text for item in spread(examples)] == ['0?', '10?', '20?', '30?']
    (tmp_path / '2.png').unlink()
    assert [item.text for item in spread(examples)] == ['0?', '15?', '20?', '30?']


def test_a_model_that_holds_conversations_is_asked_as_by_its_inferencer(tmp_path):
    place = write_chats(tmp_path / 'llava', 'llava')
    sources, _ = choose_sources(None, (str(place.config), str(place.checkpoint)), None)
    tab, path = build_tabs(sources, 'cpu')['ask'], place.path('2.png')
    shown = [(os.path.basename(item.path), item.text, item.truths) for item in tab.examples]
    assert shown == [('0.png', 'what colour is it ?', ('red',)), ('1.png', 'describe it', ('a picture',))]
    question = 'describe the image'
    off, on = (tab.inferencer(path, question, scores=True, adapter=adapter) for adapter in (None, 'default'))
    answers = [fragments.answer(reply.answer, reply.score, ()) for reply in (off, on)]
    assert answers[0] != answers[1] and 'With LoRA' in tab.titles.values()
    assert re.findall(r'</h3>(.*?)</section>', tab.respond(path, question)) == answers
    (tmp_path / 'notes.txt').write_text('hello')
    for wrong in (tab.respond(str(tmp_path / 'notes.txt'), question), tab.look(str(tmp_path / 'notes.txt'))[1]):
        assert 'notes.txt: neither a video nor an image by its suffix' in wrong and str(tmp_path) not in wrong
    assert tab.look(path)[0].startswith('<img src="data:image/webp;base64,')
    # The same of an adapter folder.
    folder = write_adapter(place, tmp_path / 'my-adapter', seed=1)
    tab = build_tabs(choose_sources(None, (str(place.config), str(folder)), None)[0], 'cpu')['ask']
    assert 'what the adapter folder holds' in tab.describe() and 'The adapter is switched off' in tab.describe()
    off, on = (tab.inferencer(path, question, scores=True, adapter=adapter) for adapter in (None, 'default'))
    answers = [fragments.answer(reply.answer, reply.score, ()) for reply in (off, on)]
    html = tab.respond(path, question)
    assert answers[0] != answers[1] and all(answer in html for answer in answers) and 'With the adapter' in html


# ---- files


def test_a_preview_moves_as_the_video_does_and_is_small(tmp_path):
    wide = write_video(tmp_path / 'wide.avi', frames(12, 200, 640), codec='mpeg4')
    assert load_pictures(wide).shape == (8, 200, 640, 3)
    picture = Image.open(io.BytesIO(base64.b64decode(preview(wide).removeprefix('data:image/webp;base64,'))))
    assert picture.n_frames == 8 and picture.size == (480, 150)
    small = write_image(tmp_path / 'small.png', (30, 40))
    shown = Image.open(io.BytesIO(still(small)))
    assert np.array_equal(np.asarray(shown.convert('RGB')), np.asarray(Image.open(small))), 'nothing is lost'
    with pytest.raises(ClipError, match='neither a video nor an image by its suffix'):
        preview(str(tmp_path / 'notes.txt'))


@pytest.mark.parametrize(
    'name, codec, expected',
    [
        ('a.mp4', 'libx264', True),
        ('a.webm', 'libvpx-vp9', True),
        ('a.mp4', 'mpeg4', False),
        ('a.avi', 'libx264', False),
        ('a.mkv', 'libx264', False),
    ],
)
def test_what_browsers_play_is_told_by_codec_and_container(tmp_path, name, codec, expected):
    path = write_video(tmp_path / name, frames(4), codec=codec)
    assert plays(path) is expected
    assert plays(write_image(tmp_path / 'b.png')) is False


# ---- what is said


def test_errors_are_one_line_without_folders(tmp_path, capsys):
    def refuse(path):
        raise ClipError(path, 'the file is empty')

    def fail(path):
        return {}['secret']

    assert in_one_line(refuse)('/secret/place/a.png') == fragments.problem('a.png: the file is empty')
    (tmp_path / 'my text.png').write_text('red')
    said = in_one_line(lambda path: load_pictures(path))(str(tmp_path / 'my text.png'))
    assert 'not a readable image' in said and 'my text.png' in said and tmp_path.name not in said
    assert in_one_line(fail)('/secret/place/a.png') == fragments.problem(UNEXPECTED)
    assert "KeyError: 'secret'" in capsys.readouterr().err

    def name(*paths):
        raise DemoError(f'{paths[0]} and /secret/other/b.png, but not red/blue')

    assert in_one_line(name)('/my photos/a b.png') == fragments.problem('a b.png and b.png, but not red/blue')
    assert in_one_line(name)('red/blue') == fragments.problem('red/blue and b.png, but not red/blue')


def test_texts_of_models_and_names_of_files_are_escaped():
    evil = '<script>alert("1")</script>'
    shown = [
        fragments.answer(evil, 0.5, ()),
        fragments.clip(1, evil, 0.1, '', False),
        fragments.truth([evil], evil),
        fragments.facts([(evil, evil)]),
        fragments.columns([fragments.Side(evil, '')]),
        fragments.video(evil, evil) + fragments.picture(evil, evil),
        fragments.problem(evil) + fragments.hint(evil),
    ]
    assert not any('<script' in html or '"1"' in html for html in shown)


# ---- the command


def test_addresses():
    with listen('127.0.0.1', 0) as server, listen('0.0.0.0', 0) as everyone:
        port = server.getsockname()[1]
        assert address_of(server) == f'http://127.0.0.1:{port}' and local_names(everyone) is None
        assert local_names(server) == ['localhost', '127.0.0.1', '[127.0.0.1]']
        with pytest.raises(DemoError, match=f'cannot serve on 127.0.0.1, port {port} .*choose another --port'):
            listen('127.0.0.1', port)
    with pytest.raises(DemoError, match='cannot serve on no.such.host.invalid'):
        listen('no.such.host.invalid', 0)


def test_the_command_refuses_in_one_line(runs):
    with listen('127.0.0.1', 0) as server:
        done = run_script('tools/demo/page.py', '--port', server.getsockname()[1])
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.count('\n') == 1 and 'Address already in use' in done.stderr
    done = run_script('tools/demo/page.py', '--port', 70000)
    assert done.returncode == 2 and 'from 0 to 65535, got 70000' in done.stderr


def test_without_gradio_one_line_says_how_to_install_it(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    done = run_script('tools/demo/page.py')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == "error: the page needs Gradio: pip install -e '.[demo]'\n"


def test_importing_vlpeft_and_the_tabs_imports_no_gradio():
    code = 'import sys, vlpeft, vlpeft.demo.sources, vlpeft.demo.address; sys.exit("gradio" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0
