"""Mixed precision training that also runs on a CPU: MMEngine's AMP wrapper without its need for a GPU."""

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from vlpeft.registry import OPTIM_WRAPPERS

DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


@OPTIM_WRAPPERS.register_module()
class MixedPrecisionOptimWrapper(AmpOptimWrapper):
    """Autocast in bfloat16 (CPU, CUDA) or float16 (CUDA); the loss is scaled only for float16.

    Parameters and optimiser state stay float32. Gradient clipping and accumulation work as in MMEngine's wrapper.
    A bfloat16 checkpoint looks like that of a full-precision run, so either can resume the other.

    Args:
        dtype: 'bfloat16' or 'float16'. Defaults to 'bfloat16'.
        loss_scale: 'dynamic', or a fixed scale; only used for float16. Defaults to 'dynamic'.
        **kwargs: ``optimizer``, ``accumulative_counts``, ``clip_grad`` of MMEngine's ``OptimWrapper``.

    Raises:
        ValueError: If the dtype is unknown, or float16 is asked for on a CPU.
    """

    def __init__(self, dtype: str = 'bfloat16', loss_scale: str | float = 'dynamic', **kwargs):
        # AmpOptimWrapper's own constructor refuses to run without a GPU.
        OptimWrapper.__init__(self, **kwargs)
        device = get_device()
        if dtype not in DTYPES:
            raise ValueError(f'optim_wrapper.dtype is {dtype!r}, valid: {", ".join(DTYPES)}')
        if dtype == 'float16' and device == 'cpu':
            raise ValueError("optim_wrapper.dtype='float16' needs a GPU; use 'bfloat16' on a CPU")
        self.cast_dtype = DTYPES[dtype]
        fixed = {} if loss_scale == 'dynamic' else dict(init_scale=float(loss_scale))
        self._scale_update_param = fixed.get('init_scale')
        self.loss_scaler = torch.amp.GradScaler(device, enabled=dtype == 'float16', **fixed)

    def state_dict(self) -> dict:
        """State of the optimiser, and of the loss scaler where there is one."""
        state = super().state_dict()
        if not self.loss_scaler.is_enabled():
            state.pop('loss_scaler')
        return state
