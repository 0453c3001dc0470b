"""Malicious files and the ways by which files come in.

A new way in is one line in ``WAYS_IN`` of ``test_malicious_files.py``, a new payload, place in a file or format one
line here: each is tried with all others.
"""

import io
import json
import os
import pickle
import runpy
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


class Call:
    """Pickles as a call of a function, which an unsafe reader makes."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def second_stage(folder: Path, canary: Path) -> Path:
    path = folder / 'stage2.bin'
    path.write_bytes(pickle.dumps(Call(os.mkdir, str(canary))))
    return path


def script(folder: Path, canary: Path) -> Path:
    path = folder / 'stage2.py'
    path.write_text(f'import os\nos.mkdir({str(canary)!r})\n')
    return path


#: name -> (folder for further files, canary) -> an object whose unsafe unpickling makes the canary.
PAYLOADS = {
    'os.system': lambda folder, canary: Call(os.system, f'touch {canary}'),
    'posix.mkdir': lambda folder, canary: Call(os.mkdir, str(canary)),
    'builtins.exec': lambda folder, canary: Call(exec, f'open({str(canary)!r}, "w")'),
    'builtins.eval': lambda folder, canary: Call(eval, f'open({str(canary)!r}, "w")'),
    'io.open': lambda folder, canary: Call(io.open, str(canary), 'w'),
    'subprocess': lambda folder, canary: Call(subprocess.check_call, ['touch', str(canary)]),
    'shutil.move': lambda folder, canary: Call(shutil.move, str(script(folder, canary)), str(canary)),
    'runpy': lambda folder, canary: Call(runpy.run_path, str(script(folder, canary))),
    'pickle of a pickle': lambda folder, canary: Call(pickle.loads, pickle.dumps(Call(os.mkdir, str(canary)))),
    'torch.load': lambda folder, canary: Call(torch_load, str(second_stage(folder, canary))),
    'getattr chain': lambda folder, canary: Call(
        call, Call(getattr, Call(getattr, HistoryBuffer, '__init__'), '__globals__'), str(canary)
    ),
}


def torch_load(path):
    return torch.load(path, weights_only=False, pickle_module=pickle)


def call(globals_: dict, canary: str):
    """What a chain of attributes ends in: from any function's globals to the builtins, and there to everything."""
    return globals_['__builtins__']['__import__']('os').mkdir(canary)


#: How deep in a file the payload lies.
WRAPS = {
    'bare': lambda evil: evil,
    'weight': lambda evil: dict(state_dict=OrderedDict(w=torch.ones(2), x=evil), meta=dict(epoch=1, iter=2)),
    'meta': lambda evil: dict(state_dict=dict(w=torch.ones(2)), meta=dict(epoch=1, iter=2, cfg=evil)),
    'message hub': lambda evil: dict(
        state_dict=dict(w=torch.ones(2)),
        optimizer=dict(state={}),
        meta=dict(epoch=1, iter=2),
        message_hub=dict(log_scalars={}, runtime_info=dict(best_ckpt=evil)),
    ),
    'array': lambda evil: dict(state_dict=dict(w=torch.ones(2)), extra=np.array([evil, None], dtype=object)),
}


def write_npz(content, path):
    np.savez(path, features=np.array([content], dtype=object))


def write_safetensors_of_pickle(content, path):
    """A pickle behind the length field of a safetensors header."""
    data = pickle.dumps(content)
    path.write_bytes(len(data).to_bytes(8, 'little') + data)


#: name -> (suffixes, writer of a content).
CONTAINERS = {
    'torch zip': (('.pth', '.pt', '.bin'), torch.save),
    'torch legacy': (
        ('.pth', '.bin'),
        lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    ),
    'pickle': (
        ('.pth', '.pkl', '.npz', '.safetensors', '.h5'),
        lambda content, path: path.write_bytes(pickle.dumps(content)),
    ),
    'pickle 0': (('.pth', '.pkl'), lambda content, path: path.write_bytes(pickle.dumps(content, 0))),
    'npz': (('.npz',), write_npz),
    'header': (('.safetensors',), write_safetensors_of_pickle),
}


class WayIn(NamedTuple):
    """A way in for files of some suffixes; ``errors`` is what it may raise."""

    name: str
    open: Callable[[Path], object]
    suffixes: tuple
    errors: tuple


def malicious_files() -> list[tuple[str, str, str, str]]:
    """(payload, wrap, container, suffix) of all files."""
    return [
        (payload, wrap, container, suffix)
        for payload in PAYLOADS
        for wrap in WRAPS
        for container, (suffixes, _) in CONTAINERS.items()
        for suffix in suffixes
    ]


def write(folder: Path, canary: Path, payload: str, wrap: str, container: str, suffix: str) -> Path:
    path = folder / f'epoch_1{suffix}'
    CONTAINERS[container][1](WRAPS[wrap](PAYLOADS[payload](folder, canary)), path)
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder, and links by where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_symlink() or path.is_file()
    }


def metadata_of(path: Path, meta: object, **tensors) -> Path:
    """A good safetensors file with any metadata."""
    from safetensors.torch import save_file

    save_file(tensors or dict(w=torch.ones(2)), path, metadata=dict(vlpeft=json.dumps(meta)))
    return path
