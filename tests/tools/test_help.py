"""``--help`` of every console command and every tool: what it is for, what it takes, and how to call it."""

import re
import subprocess
import sys

import pytest

from tests.commands import run_script
from tests.docs.following import Reader
from tests.workspace import ROOT
from vlpeft.cli import COMMANDS

TOOLS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'tools').rglob('*.py'))


def faults(text: str, called: str) -> list[str]:
    """What a help lacks: usage by the name it was called by, a description, and an example or options with a text."""
    usage, *parts = re.split(r'\n\s*\n', text)
    wrong = [] if usage.startswith(f'usage: {called}') else [f'usage: {usage[:80]!r}']
    if not parts or re.match(r'(positional arguments|options):', parts[0]) or len(parts[0].split()) < 3:
        wrong.append('no description')
    options = re.search(r'^ +-h, --help +show this help', text, re.M)
    explained = re.search(r'^  (?!-h)[^\n]*(?:  |\n {10,})\w', text, re.M)
    if not options or not (explained or re.search(r'^(several )?examples?\b', text, re.M)):
        wrong.append('neither an example nor an argument with a text')
    return wrong


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_a_command(command):
    reader = Reader(ROOT)
    assert reader.vlpeft(command, '--help') == 0
    assert faults(reader.printed, f'vlpeft {command} ') == []
    assert 'Traceback' not in reader.printed


@pytest.mark.parametrize('tool', TOOLS)
def test_help_of_a_tool(tool):
    done = run_script(tool, '--help')
    assert (done.returncode, done.stderr) == (0, '')
    assert faults(done.stdout, tool.rpartition('/')[2]) == []


def test_a_help_that_says_nothing_is_found():
    good = 'usage: a.py [-h] x\n\nCounts the words.\n\npositional arguments:\n  x  what to count\n\noptions:\n' + (
        '  -h, --help  show this help message and exit\n'
    )
    assert faults(good, 'a.py') == []
    assert faults(good.replace('Counts the words.\n\n', ''), 'a.py') == ['no description']
    assert len(faults(good.replace('  what to count', ''), 'a.py')) == 1
    assert len(faults(good, 'b.py')) == 1 and len(faults('', 'a.py')) == 3


#: Commands whose help lists what registries and data sets know, which are imported for it.
LISTS_OF_PARTS = {
    'browse': 'splits, of vlpeft.datasets',
    'check-data': 'kinds of findings, of vlpeft.datasets',
    'convert': 'layouts, of vlpeft.checkpoint',
    'export': 'formats, of vlpeft.apis',
}
#: Runs the help of each command where torch and what builds on it cannot be imported; prints those that need it.
WITHOUT_TORCH = """
import contextlib, io, sys

class Heavy:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'torchvision', 'transformers', 'mmpretrain'):
            raise ImportError(f'{name} is imported')

sys.meta_path.insert(0, Heavy())
from vlpeft.cli import COMMANDS, main
for command in COMMANDS:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main([command, '--help'])
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = error
    if code:
        print(command)
"""


def test_help_is_there_before_torch_is():
    done = subprocess.run([sys.executable, '-c', WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    assert sorted(done.stdout.split()) == sorted(LISTS_OF_PARTS)
