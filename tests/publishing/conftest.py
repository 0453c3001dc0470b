"""One run, trained once for all tests of publishing."""

import pytest
from published_run import trained


@pytest.fixture(scope='session')
def run(tmp_path_factory):
    """Config, checkpoint, result."""
    return trained(tmp_path_factory.mktemp('published'))
