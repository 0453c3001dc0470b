"""What the benchmarks share: seconds and FLOPs of one pass."""

import time

from torch.utils.flop_counter import FlopCounterMode


def timed(function) -> dict[str, object]:
    """Result, seconds and FLOPs of one pass."""
    with FlopCounterMode(display=False) as counter:
        start = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - start
    return dict(result=result, seconds=seconds, flops=counter.get_total_flops())
