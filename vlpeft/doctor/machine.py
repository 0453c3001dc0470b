"""Devices, Java, folders, free space, and the hub that tokenizers come from."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .findings import BROKEN, NOTE, OK, Finding, one_line

HUB_TIMEOUT_S = 3
FREE_GB = 5
SHARED_GB = 1


def check_machine() -> Iterator[Finding]:
    """GPUs, Java, free space, the hub, the cache of downloads."""
    yield from check_devices()
    yield check_java()
    yield from check_space()
    yield check_hub()
    yield check_cache()


def check_devices() -> Iterator[Finding]:
    """GPUs that torch can use; one that it was not built for is named."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001
        yield Finding('torch', BROKEN, f'cannot be imported: {one_line(error)}')
        return
    build = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU'
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            bfloat16 = '' if torch.cuda.is_bf16_supported() else ', no bfloat16 (--amp with dtype=float16)'
            memory = f'{properties.total_memory / 2**30:.0f} GiB'
            yield Finding(f'GPU {number}', OK, f'{properties.name}, {memory}, torch built for {build}{bfloat16}')
    elif shutil.which('nvidia-smi'):
        yield Finding('GPU', NOTE, f'there is a driver, but torch (built for {build}) finds no GPU; runs use the CPU')
    else:
        yield Finding('GPU', NOTE, f'none (torch built for {build}); runs use the CPU: {os.cpu_count()} cores')


def check_java() -> Finding:
    """Java, which METEOR, SPICE and the original caption tokenizer run on."""
    need = 'METEOR, SPICE and the original caption tokenizer need it; all else runs without'
    if shutil.which('java') is None:
        return Finding('Java', NOTE, f'not found; {need}')
    try:
        done = subprocess.run(['java', '-version'], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding('Java', NOTE, f'does not start ({one_line(error)}); {need}')
    lines = (done.stderr or done.stdout).splitlines()
    if done.returncode:
        return Finding('Java', NOTE, f'does not start ({lines[0] if lines else done.returncode}); {need}')
    return Finding('Java', OK, lines[0] if lines else 'starts')


def check_cache() -> Finding:
    """Where downloaded checkpoints are kept, how much there is, and whether more can be written."""
    from vlpeft.checkpoint.download import CACHE_VARIABLE, cache_root

    folder = cache_root()
    above = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not above.is_dir():
        return Finding('download cache', BROKEN, f'{above} is a file; set {CACHE_VARIABLE} to a folder')
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        text = f'{folder} cannot be written ({error.strerror}); set {CACHE_VARIABLE} to another folder'
        return Finding('download cache', BROKEN, text)
    files = [path for path in folder.rglob('*') if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files)
    return Finding('download cache', OK, f'{folder}, {size / 1e9:.2f} GB ({CACHE_VARIABLE} chooses another folder)')


def check_hub() -> Finding:
    """Whether tokenizers can be fetched, without waiting for a network that does not answer."""
    from huggingface_hub import constants

    cached = f'what is in {constants.HF_HUB_CACHE} works, other tokenizers must be folders (docs/install.md)'
    if constants.HF_HUB_OFFLINE:
        return Finding('tokenizers', NOTE, f'HF_HUB_OFFLINE is set: {cached}')
    replies: list[str] = []
    # Looking up a name has no time limit of its own.
    thread = threading.Thread(target=_ask, args=(constants.ENDPOINT, replies), daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_S + 1)
    reply = replies[0] if replies else f'no answer within {HUB_TIMEOUT_S} s'
    if reply:
        return Finding('tokenizers', NOTE, f'{constants.ENDPOINT} cannot be reached ({reply}): {cached}')
    return Finding('tokenizers', OK, f'{constants.ENDPOINT} answers; cached in {constants.HF_HUB_CACHE}')


def _ask(url: str, replies: list[str]) -> None:
    try:
        with urlopen(Request(url, method='HEAD', headers={'User-Agent': 'vlpeft'}), timeout=HUB_TIMEOUT_S):
            replies.append('')
    except HTTPError:  # an answer all the same
        replies.append('')
    except (OSError, ValueError) as error:
        replies.append(one_line(error))


def check_space() -> Iterator[Finding]:
    """Room for checkpoints here and for batches in shared memory."""
    free = shutil.disk_usage('.').free / 1e9
    level, hint = (OK, '') if free >= FREE_GB else (NOTE, '; bases and checkpoints of full runs take some GB')
    yield Finding('free disk here', level, f'{free:.1f} GB{hint}')
    shared = Path('/dev/shm')
    if shared.is_dir() and (size := shutil.disk_usage(shared).total / 1e9) < SHARED_GB:
        hint = 'loaders with workers may stop with a bus error; in Docker use --ipc=host or --shm-size'
        yield Finding('shared memory', NOTE, f'{size:.2f} GB; {hint}')
