"""What tools/run_tests.sh hands to pytest."""

import shutil
import subprocess
import sys

import pytest

from tests.workspace import ROOT

FILES = ['tests/faults/test_kills.py', 'tests/engine/test_warmup_linear.py', 'tests/models/test_decoding.py']


def collected(*options: str) -> list[str]:
    """Names of the tests in ``FILES``, in order."""
    command = [sys.executable, '-m', 'pytest', '-q', '--collect-only', '-m', 'not slow', '-p', 'no:cacheprovider']
    done = subprocess.run([*command, *options, *FILES], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if '::' in line]


def test_long_tests_come_first_and_the_quick_look_leaves_them_out():
    everything, quick = collected(), collected('--quick')
    long = [name.startswith(('tests/faults', 'tests/engine')) for name in everything]
    assert long == sorted(long, reverse=True) and True in long and False in long
    kept = {}
    for name in everything:
        if name.startswith('tests/models'):
            kept.setdefault(name.partition('[')[0], []).append(name)
    assert max(map(len, kept.values())) > 1
    assert quick == [name for names in kept.values() for name in names[:1]]


RECORD = """#!/usr/bin/env bash
case "$PYTHONPATH" in */.venv/transformers5*) major=5 ;; *) major=4 ;; esac
echo "$major ${@: $#}"
[ "$major" != "$FAILING" ]
"""
ALL, AFFECTED = '4 --no-loadscope-reorder', '5 tests/checkpoint'


@pytest.mark.parametrize(
    ('arguments', 'failing', 'lines', 'code'),
    [
        ([], '', [ALL, AFFECTED], 0),
        (['-q'], '', ['4 -q', AFFECTED], 0),
        ([], '4', [ALL, AFFECTED], 1),
        ([], '5', [ALL, AFFECTED], 1),
        (['--quick'], '', ['4 --quick'], 0),
        (['tests/sites'], '', ['4 tests/sites'], 0),
        (['-k', 'lora'], '', ['4 lora'], 0),
        (['--transformers5'], '', [AFFECTED], 0),
        (['--transformers5', '-x', 'tests/sites'], '5', ['5 tests/sites'], 1),
    ],
)
def test_which_tests_run_with_which_transformers(tmp_path, arguments, failing, lines, code):
    (tmp_path / 'tools').mkdir()
    shutil.copy(ROOT / 'tools/run_tests.sh', tmp_path / 'tools')
    (tmp_path / 'tools/environment.sh').write_text(
        'ensure_environment() { :; }\nensure_transformers5() { :; }\nTRANSFORMERS5=.venv/transformers5\n'
    )
    python = tmp_path / '.venv/bin/python'
    python.parent.mkdir(parents=True)
    python.write_text(RECORD)
    python.chmod(0o755)
    command = ['bash', str(tmp_path / 'tools/run_tests.sh'), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(PATH='/usr/bin:/bin', FAILING=failing))
    assert done.returncode == code, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith('With')] == lines
    assert done.stdout.count('With transformers 5:') == sum(line.startswith('5') for line in lines)
