"""The model of a run."""

from mmengine.model import is_model_wrapper
from torch import nn


def task_model(runner) -> nn.Module:
    """The model without the wrapper that it has in a run of several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
