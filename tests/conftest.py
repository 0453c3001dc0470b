"""Puts the repository on the import path, so that every test finds ``tests.media`` and its like."""

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def own_scope():
    """A runner leaves its default scope behind; no test may depend on which ran before it."""
    with DefaultScope.overwrite_default_scope('vlpeft'):
        yield
