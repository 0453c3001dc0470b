"""The tiny zoo, served."""

import pytest

from tests.apis.tiny_zoo import FileServer, write_zoo
from vlpeft import bases
from vlpeft.zoo import config_names, model_index


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Folder of a zoo without published weights, as ``(folder, config, server)``; the cache is empty."""
    monkeypatch.setenv('VLPEFT_CACHE', str(tmp_path / 'cache'))
    for module in (config_names, model_index, bases):
        monkeypatch.setattr(module, 'zoo_root', lambda: tmp_path / 'zoo')
    server = FileServer(tmp_path / 'zoo')
    yield tmp_path / 'zoo', write_zoo(tmp_path / 'zoo', server.url), server
    server.close()
