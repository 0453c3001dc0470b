"""The whole generated set, once for all tests of the quickstart."""

import pytest
from quickstart_tools import run_process


@pytest.fixture(scope='session')
def quickstart_data(tmp_path_factory):
    out = tmp_path_factory.mktemp('quickstart')
    done = run_process('make_clips.py', out, '--stills', 1500)
    assert done.returncode == 0, done.stderr
    return out
