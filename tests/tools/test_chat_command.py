"""tools/demo/chat.py from its command line and what is typed to answers."""

import io
import json
import sys

import pytest

from tests.apis.tiny_chats import write_adapter, write_chats
from tools.demo import ask, chat
from vlpeft import ChatInferencer
from vlpeft.engine.messages import run_main

QUESTION = 'what colour is it ?'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp('chat') / 'llava', 'llava')


def talk(monkeypatch, capsys, typed, *arguments):
    """Exit code, lines of answers, and errors."""
    monkeypatch.setattr(sys, 'stdin', io.StringIO(typed))
    capsys.readouterr()
    code = run_main(lambda: chat.main([*map(str, arguments), '--device', 'cpu']))
    out, err = capsys.readouterr()
    return code, out, [line for line in err.splitlines() if line.startswith('error')]


def test_a_conversation_with_files(place, monkeypatch, capsys):
    monkeypatch.chdir(place.root)
    talked = ChatInferencer(place.config, place.checkpoint, device='cpu').chat('0.png')
    expected = [talked.say(QUESTION).answer, talked.say('and it ?', files=['1.png', '2.png']).answer]
    again = ChatInferencer(place.config, place.checkpoint, device='cpu')(None, 'describe it').answer
    typed = f'\n{QUESTION}\n/show 1.png\n/show 2.png\nand it ?\n/new\ndescribe it\n/end\nnot said\n'
    code, out, errors = talk(monkeypatch, capsys, typed, place.config, '0.png', '--checkpoint', place.checkpoint)
    assert code == 0 and errors == []
    assert out == ''.join(f'{answer}\n' for answer in (*expected, again))


def test_a_turn_that_fails_is_told_and_not_kept(place, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(place.root)
    folder = write_adapter(place, tmp_path / 'own', 1)
    expected = ChatInferencer(place.model, folder, device='cpu')('0.png', QUESTION, max_new_tokens=3).answer
    typed = f'/show nowhere.png\nwhat is it ?\na </s> b\n/show notes.txt\nwhat is it ?\n/show 0.png\n{QUESTION}\n'
    code, out, errors = talk(
        monkeypatch, capsys, typed, place.model, '--checkpoint', folder, '--max-new-tokens', 3, '--dtype', 'float32'
    )
    assert code == 0 and out == f'{expected}\n'
    assert [said in line for said, line in zip(('no such file', "holds '</s>'", 'notes.txt: neither'), errors)] == [
        True
    ] * 3


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['nowhere.py'], 'config file nowhere.py does not exist'),
        (['{config}', 'a.txt'], 'a.txt: neither a video nor an image by its suffix'),
        (['{config}'], 'no trained weights are published'),
        (['{root}'], 'the folder has none of config.json'),
    ],
)
def test_mistakes_are_one_line(place, monkeypatch, capsys, arguments, message):
    arguments = [part.format(config=place.config, root=place.root) for part in arguments]
    code, _, errors = talk(monkeypatch, capsys, '', *arguments)
    assert code == 1 and len(errors) == 1 and message in errors[0]


def test_ask_takes_chat_models(place, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(place.root)
    folder = write_adapter(place, tmp_path / 'own', 1)
    for words, inferencer in (
        ([place.config, place.checkpoint], ChatInferencer(place.config, place.checkpoint, device='cpu')),
        ([place.model, folder], ChatInferencer(place.model, folder, device='cpu')),
        (['--model', folder, '--checkpoint', 'zoo'], ChatInferencer(folder, device='cpu')),
    ):
        replies = [
            inferencer(['0.png', 'nowhere.png', '2.png'], QUESTION, adapter=name, scores=True)
            for name in ('default', None)
        ]
        capsys.readouterr()
        words = [*map(str, words), '0.png', 'nowhere.png', '2.png', QUESTION, '--off', '--scores', '--json']
        assert run_main(lambda: ask.main([*words, '--device', 'cpu'])) == 1
        out, err = capsys.readouterr()
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row['answer'] for row in rows] == [one.answer for pair in zip(*replies) for one in pair]
        assert [row['score'] for row in rows] == [one.score for pair in zip(*replies) for one in pair]
        assert 'error: cannot use nowhere.png: no such file' in err
