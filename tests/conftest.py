"""Puts the repository on the import path, so that every test finds ``tests.media`` and its like; what --quick is."""

import gc
import logging
import os
import signal
from pathlib import Path
from unittest import mock

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

#: Folders of tests whose runs and processes take long.
LONG = ('integration', 'faults', 'tools', 'engine', 'quickstart')


def pytest_addoption(parser):
    parser.addoption(
        '--quick',
        action='store_true',
        help=f'a first look in minutes: without tests of whole runs ({", ".join(LONG)}), and each other test once, '
        'with the first of its sets of parameters',
    )


def pytest_collection_modifyitems(config, items):
    """What takes long comes first, so that at the end no process has much left while others have nothing."""
    items.sort(key=lambda item: not _is_long(item))
    if config.getoption('--quick'):
        seen = set()
        kept, left = [], []
        for item in items:
            function = item.nodeid.partition('[')[0]
            (left if _is_long(item) or function in seen else kept).append(item)
            seen.add(function)
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def _is_long(item) -> bool:
    return item.path.relative_to(Path(__file__).parent).parts[0] in LONG


@pytest.fixture(scope='module', autouse=True)
def quick_garbage_collection():
    """MMEngine collects garbage whenever it builds a set, which takes a second among all that the tests have imported;
    what is there when a module begins is not looked at any more.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='module', autouse=True)
def own_environment():
    """What a module's tests and fixtures put into the environment is gone after it."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def own_signals():
    """A run that failed leaves its handlers of signals, and processes forked later would not end when told to."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


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
