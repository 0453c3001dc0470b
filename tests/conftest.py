"""Puts the repository on the import path, so that every test finds ``tests.media`` and its like."""

import logging

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def own_scope():
    """A runner leaves its default scope behind; no test may depend on which ran before it."""
    with DefaultScope.overwrite_default_scope('vlpeft'):
        yield


@pytest.fixture
def logged():
    """Records of MMEngine's current logger, as they come."""
    records, handler = [], logging.Handler()
    handler.emit = records.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)
