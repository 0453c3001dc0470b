"""A zoo with one tiny model in a folder, its base and its trained parts behind a real HTTP server."""

import http.server
import threading
from pathlib import Path

import torch
from mmengine.config import Config

from tests.workspace import ROOT, write_workspace
from vlpeft.checkpoint.identity import base_identity
from vlpeft.registry import MODELS

NAME = 'tiny_clips'


class FileServer:
    """Serves a folder; ``requests`` are the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.requests = requests = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder))

            def do_GET(self):
                requests.append(self.path)
                super().do_GET()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def write_trained(config: Path, path: Path, seed: int = 3) -> torch.nn.Module:
    """Writes a checkpoint as a run leaves it, with training state that must not be published; returns its model."""
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if name in model.declared:
                param.add_(torch.randn(param.shape, generator=generator) * 0.3)
    model.momentum.copy_from(model)
    frozen = model.frozen_keys()
    state = {key: value for key, value in model.state_dict().items() if key not in frozen}
    assert any(key.startswith('momentum.') for key in state) and any(key.startswith('queue.') for key in state)
    torch.save(
        dict(
            meta=dict(
                epoch=2, iter=8, base=base_identity(cfg.model.base_checkpoint.source), cfg='secret = "/home/someone"'
            ),
            state_dict=state,
            optimizer=dict(state={0: torch.ones(4)}),
            param_schedulers=[dict(last_step=8)],
            message_hub=dict(runtime_info={}),
        ),
        path,
    )
    model.eval()
    return model


def write_zoo(folder: Path, url: str, weights: str = '') -> Path:
    """Writes model-index.yml and configs below ``folder``; ``weights`` are the metafile lines of the trained parts.

    Returns:
        The config, whose base is ``url``/base.pth; the file lies in ``folder``/work.
    """
    workspace = write_workspace(folder / 'work')
    config = folder / 'configs/tiny/clips.py'
    config.parent.mkdir(parents=True)
    config.write_text(workspace.read_text().replace(str(folder / 'work/base.pth'), f'{url}/work/base.pth'))
    (folder / 'model-index.yml').write_bytes((ROOT / 'model-index.yml').read_bytes())
    (folder / 'configs/base_checkpoints.yml').write_text(f'tiny_base:\n  Weights: {url}/work/base.pth\n')
    write_metafile(folder, weights)
    return config


def write_metafile(folder: Path, weights: str) -> None:
    (folder / 'configs/tiny/metafile.yml').write_text(
        f'Models:\n  - Name: {NAME}\n    Config: configs/tiny/clips.py\n    Base: tiny_base\n    Metadata: {{}}\n'
        + weights
    )
