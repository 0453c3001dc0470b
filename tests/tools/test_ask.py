"""tools/demo/ask.py and caption.py from their command lines to tables, JSON and exit codes."""

import json
import subprocess
import sys

import pytest

from tests.apis.tiny_answerers import write_answerer
from tests.media import write_image
from tests.workspace import ROOT
from tools.demo import ask, caption
from vlpeft import CaptionInferencer, VQAInferencer
from vlpeft.apis.command_line import find_model, make_parser
from vlpeft.engine.messages import run_main
from vlpeft.zoo.folder import ZooError


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ask')
    return {kind: write_answerer(folder / kind, kind) for kind in ('t5', 't5_caption')}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv('COLUMNS', '240')


def run(monkeypatch, tool, *arguments):
    """Exit code of a command line."""
    monkeypatch.setattr(sys, 'argv', ['vlpeft', *map(str, arguments)])
    try:
        return run_main(tool.main)
    except SystemExit as end:
        return end.code


def test_one_file_is_answered_with_the_text_alone(places, capsys, monkeypatch):
    place = places['t5']
    inferencer = VQAInferencer(place.config, place.checkpoint, device='cpu')
    expected = inferencer(place.files[2], 'what is it', scores=True)
    capsys.readouterr()
    words = [place.config, place.checkpoint, place.files[2], 'what is it', '--device', 'cpu']
    assert run(monkeypatch, ask, *words) == 0
    assert capsys.readouterr() == (f'{expected.answer}\n', '')
    assert run(monkeypatch, ask, *words, '--scores') == 0
    assert capsys.readouterr().out == f'{expected.answer}  {expected.score:.3f}\n'
    assert run(monkeypatch, ask, '--model', place.config, '--checkpoint', place.checkpoint, *words[2:]) == 0
    assert capsys.readouterr().out == f'{expected.answer}\n'


def test_folders_patterns_adapters_and_json(places, capsys, monkeypatch, tmp_path):
    place = places['t5_caption']
    describe = CaptionInferencer(place.config, place.checkpoint, device='cpu', adapters=dict(second=place.other))
    for i in range(3):
        write_image(tmp_path / f'more/{i}.png', seed=9 + i) if i else (tmp_path / 'more').mkdir()
    (tmp_path / 'more/notes.txt').write_text('not asked about')
    files = [str(tmp_path / 'more/1.png'), str(tmp_path / 'more/2.png'), *place.files[1:3]]
    words = [place.config, place.checkpoint, tmp_path / 'more', f'{tmp_path}/more/*', *place.files[1:3]]
    options = ['--adapter', f'second={place.other}', '--off', '--scores', '--device', 'cpu', '--batch-size', '3']
    capsys.readouterr()
    assert run(monkeypatch, caption, *words, *options, '--json') == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    expected = []
    for name, label in (('default', 'default'), ('second', 'second'), (None, 'off')):
        found = describe(files, adapter=name, scores=True, batch_size=3)
        expected += [dict(one._asdict(), adapter=label) for one in found]
    expected.sort(key=lambda row: files.index(row['file']))
    assert rows == expected
    assert len({row['caption'] for row in rows}) > 2
    capsys.readouterr()
    assert run(monkeypatch, caption, *words, *options) == 0
    out, err = capsys.readouterr()
    assert [name in out for name in ('file', 'adapter', 'caption', 'score')] == [True] * 4
    assert sum('.png' in line for line in out.splitlines()) == len(rows)


def test_an_unreadable_file_is_named_and_the_rest_is_answered(places, capsys, monkeypatch, tmp_path):
    place = places['t5']
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    words = [
        place.config,
        place.checkpoint,
        place.files[0],
        tmp_path / 'broken.png',
        tmp_path / 'none.png',
        'is it red',
    ]
    assert run(monkeypatch, ask, *words, '--device', 'cpu', '--json') == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row['answer'] is None for row in rows] == [False, True, True]
    assert [row['error'] for row in rows][2] == 'no such file'
    told = err.splitlines()
    assert told[0].startswith(f'error: cannot use {tmp_path}/broken.png: not a readable image')
    assert told[1:] == [f'error: cannot use {tmp_path}/none.png: no such file']
    assert run(monkeypatch, ask, *words, '--device', 'cpu') == 1
    assert place.files[0] in capsys.readouterr().out
    assert run(monkeypatch, ask, place.config, place.checkpoint, tmp_path / 'none.png', 'is it red') == 1
    assert capsys.readouterr() == ('', f'error: cannot use {tmp_path}/none.png: no such file\n')


@pytest.mark.parametrize(
    'tool, words, code, said',
    [
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', ' '], 2, 'the question is empty'),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE'], 2, 'come a checkpoint (or none, or zoo) and what it is asked about'),
        (ask, ['CONFIG', 'none.pth', 'FILE', 'x'], 1, 'checkpoint file not found: none.pth'),
        (ask, ['nothing.py', 'CHECKPOINT', 'FILE', 'x'], 1, 'config file nothing.py does not exist'),
        (ask, ['CONFIG', 'CHECKPOINT', 'empty', 'x'], 1, 'empty: there are no images in it'),
        (ask, ['CONFIG', 'CHECKPOINT', '*.png', 'x'], 1, '*.png: there are no images in it'),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', 'x', '--adapter', 'two'], 2, "'two' is not NAME=CHECKPOINT"),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', 'x', '--adapter', 'off=a.pth'], 2, 'the name is taken'),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', 'x', '--adapter', 'two=a.pth'], 1, 'file not found: a.pth'),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', 'x', '--batch-size', '0'], 2, "'0' is no number of samples"),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', 'x', '--dtype', 'half'], 2, "invalid choice: 'half'"),
        (ask, ['CONFIG', 'CHECKPOINT', 'FILE', 'x', '--device', 'gpu'], 1, "device='gpu' is no device of torch"),
        (ask, ['FILE', 'x'], 2, 'which model? Name its config and checkpoint first'),
        (ask, ['FILE', 'x', '--checkpoint', 'CHECKPOINT'], 2, '--checkpoint goes with --model'),
        (ask, ['FILE', '--model', 'CONFIG', '--checkpoint', 'CHECKPOINT'], 2, 'the question is missing'),
        (caption, ['CONFIG', 'CHECKPOINT', 'FILE'], 1, 'this model answers questions; use VQAInferencer (vlpeft ask)'),
        (caption, ['CONFIG', 'CHECKPOINT'], 2, 'come a checkpoint'),
    ],
)
def test_mistakes_are_one_line(places, capsys, monkeypatch, tmp_path, tool, words, code, said):
    place = places['t5']
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    known = dict(CONFIG=place.config, CHECKPOINT=place.checkpoint, FILE=place.files[0])
    assert run(monkeypatch, tool, *(known.get(word, word) for word in words)) == code
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('error: ') and err.count('\n') == 1 and said in err


def test_without_a_model_that_of_the_quickstart_is_taken(tmp_path, monkeypatch, capsys):
    parser = make_parser('usage', '', '')
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'work_dirs/quickstart/questions_epalm'
    folder.mkdir(parents=True)
    # MMEngine writes where a run was made, which may have been moved since.
    (folder / 'last_checkpoint').write_text('/elsewhere/epoch_4.pth')
    checkpoint = 'work_dirs/quickstart/questions_epalm/epoch_4.pth'
    for word in ('a.png', 'clips/*', 'work_dirs'):
        found = find_model(parser.parse_args([word, 'what?']), 'questions', 'questions_epalm', 2)
        assert found == ('quickstart_questions_epalm', checkpoint, [word, 'what?'])
        assert capsys.readouterr().err == f'model: quickstart_questions_epalm, {checkpoint}\n'
    named = find_model(parser.parse_args(['lora_blip_vqav2', 'none', 'a.png', 'what?']), 'questions', '', 2)
    assert named == ('lora_blip_vqav2', 'base', ['a.png', 'what?'])
    assert find_model(parser.parse_args(['a.png', '--model', 'x']), 'captions', '', 1) == ('x', None, ['a.png'])
    with pytest.raises(ZooError, match='did you mean lora_blip_vqav2'):
        find_model(parser.parse_args(['lora_blip_vqa2', 'none', 'a.png', 'what?']), 'questions', '', 2)


def test_as_commands(places):
    place = places['t5']
    arguments = [place.config, place.checkpoint, *place.files[:2], 'what is it', '--device', 'cpu', '--json']
    done = subprocess.run(
        [sys.executable, '-m', 'vlpeft', 'ask', *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and done.stderr == ''
    assert [json.loads(line)['file'] for line in done.stdout.splitlines()] == place.files[:2]


def test_a_published_folder_is_a_model_and_no_folder_of_files(tmp_path):
    (tmp_path / 'vlpeft_model.json').write_text('{}')
    args = make_parser('ask', '', '').parse_args([str(tmp_path), 'zoo', 'a.png', 'what is it?'])
    assert find_model(args, 'questions', 'questions_epalm', least=2) == (str(tmp_path), None, ['a.png', 'what is it?'])
