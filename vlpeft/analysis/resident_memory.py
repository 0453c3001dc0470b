"""Resident memory that real training steps take on the CPU, in a process of its own: weights, state and activations.

The process begins to count after its imports and a small warm-up, before the model is built, and Linux notes the most
that it held while steps were taken. What the C library does with freed memory is fixed for it: one arena, pieces of 64
KiB and more are mapped and given back at once, no huge pages.
"""

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

#: Of glibc, for what would otherwise change while a process runs.
ALLOCATOR = dict(
    MALLOC_ARENA_MAX='1', MALLOC_MMAP_THRESHOLD_='65536', MALLOC_MMAP_MAX_='1000000', MALLOC_TRIM_THRESHOLD_='65536'
)
NO_HUGE_PAGES = 41  # PR_SET_THP_DISABLE of linux/prctl.h


def measure(cfg: Any, sizes: dict[str, Any], steps: int = 2) -> dict[str, int]:
    """Takes training steps of a config with random weights and inputs on the CPU (Linux).

    Args:
        cfg: MMEngine config.
        sizes: Fields of :class:`~vlpeft.analysis.flop_inputs.Sizes`.
        steps: Defaults to 2: the optimiser's state is there from the first on.

    Returns:
        Bytes: ``model``, what building it took, and ``training``, the most that was held during the steps, beyond what
        the process held before the model was built.

    Raises:
        RuntimeError: The process failed; the message ends with the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'config.py')
        cfg.dump(file)
        asked = json.dumps(dict(config=str(file), sizes=sizes, steps=steps))
        command = [sys.executable, '-m', 'vlpeft.analysis.resident_memory', asked]
        env = {**os.environ, **ALLOCATOR, 'CUDA_VISIBLE_DEVICES': ''}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f'exit status {done.returncode}']
        raise RuntimeError(f'the training steps that were to be measured failed: {last[0]}')
    return json.loads(done.stdout.splitlines()[-1])


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status, such as VmRSS or VmHWM."""
    return 1024 * int(re.search(rf'{field}:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])


def reset_peak() -> None:
    """Linux looks anew for the highest resident memory (VmHWM)."""
    Path('/proc/self/clear_refs').write_text('5')


def settled() -> int:
    """Bytes that are resident when nothing is left to give back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return status('VmRSS')


def _warm_up() -> None:
    """Small passes through what models are made of: libraries load code and start threads when they are first used."""
    import torch
    from torch import nn
    from torch.nn import functional

    net = nn.ModuleList([nn.Conv2d(3, 64, 4, 4), nn.Embedding(64, 64), nn.LayerNorm(64), nn.Linear(64, 64)])
    optimizer = torch.optim.AdamW(net.parameters())
    for _ in range(2):
        seen = net[0](torch.randn(2, 3, 32, 32)).flatten(2).transpose(1, 2)
        states = net[3](net[2](torch.cat([seen, net[1](torch.ones(2, 64, dtype=torch.long))], 1)))
        heads = states.unflatten(2, (4, 16)).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(heads, heads, heads)
        mixed = mixed + functional.scaled_dot_product_attention(heads, heads, heads, dropout_p=0.1)
        mixed = functional.gelu(mixed.transpose(1, 2).flatten(2)) @ states.transpose(1, 2)
        functional.cross_entropy(mixed.flatten(0, 1), torch.ones(mixed.shape[0] * mixed.shape[1]).long()).backward()
        optimizer.step()
        optimizer.zero_grad()


def _main(config: str, sizes: dict[str, Any], steps: int) -> dict[str, int]:
    ctypes.CDLL(None).prctl(NO_HUGE_PAGES, 1, 0, 0, 0)
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from vlpeft.analysis.flop_inputs import Sizes
    from vlpeft.analysis.flop_passes import training_loss
    from vlpeft.analysis.flops import build
    from vlpeft.registry import OPTIMIZERS

    init_default_scope('vlpeft')
    cfg, sizes = Config.fromfile(config), Sizes(**sizes)
    build(cfg.model)  # imports what it is made of
    _warm_up()
    before = settled()
    model = build(cfg.model, device='cpu').train()
    trained = [param for param in model.parameters() if param.requires_grad]
    optimizer = OPTIMIZERS.build(dict(cfg.optim_wrapper['optimizer'], params=trained))
    is_mixed = cfg.optim_wrapper.get('type') == 'MixedPrecisionOptimWrapper'
    built = settled()
    reset_peak()
    for _ in range(steps):
        with torch.autocast('cpu', torch.bfloat16) if is_mixed else nullcontext(), model.switch.task(sizes.task):
            loss = training_loss(model, sizes)
        loss.backward()
        del loss
        optimizer.step()
        optimizer.zero_grad()
    return dict(model=built - before, training=status('VmHWM') - before)


if __name__ == '__main__':
    print(json.dumps(_main(**json.loads(sys.argv[1]))))
