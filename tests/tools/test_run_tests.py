"""What tools/run_tests.sh hands to pytest."""

import subprocess
import sys

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
