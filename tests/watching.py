"""Looking at what passes a tap."""

from torch import nn

from vlpeft.sites import Tap
from vlpeft.sites.taps import Capture


def watch(module: nn.Module, tap: Tap) -> Capture:
    """Keeps in ``value`` what last passed ``tap`` below ``module``, as methods see it."""
    capture = Capture(tap)
    owner = module.get_submodule(tap.path)
    if tap.side == 'input':
        owner.register_forward_pre_hook(capture.on_input, with_kwargs=True)
    else:
        owner.register_forward_hook(capture.on_output)
    if tap.shape_of is not None:
        module.get_submodule(tap.shape_of).register_forward_hook(capture.on_shape)
    return capture
