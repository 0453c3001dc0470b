"""Hands the optimiser the trainable parameters only.

MMEngine's constructor puts every parameter in. Frozen ones would never move, but they would sit in the checkpoint's
parameter groups, and one that gets a gradient by accident would silently train.
"""

import torch.nn as nn
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper

from vlpeft.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor (``paramwise_cfg`` included) without the frozen parameters."""

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper.

        Args:
            model (nn.Module): The model, wrapped for distributed training or not.

        Raises:
            ValueError: If no parameter of the model requires a gradient.
        """
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(f'nothing to train: no parameter of {type(model).__name__} requires a gradient '
                             "(model.adapter and model.trainable decide what is trained)")
        if self.paramwise_cfg:
            # Tied parameters, such as word embeddings, are met once for each of their places.
            self.paramwise_cfg.setdefault('bypass_duplicate', True)
        wrapper = super().__call__(model)
        groups = wrapper.optimizer.param_groups
        for group in groups:
            group['params'] = [parameter for parameter in group['params'] if parameter.requires_grad]
        groups[:] = [group for group in groups if group['params']]
        return wrapper
