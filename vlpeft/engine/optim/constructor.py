"""Hands the optimiser the trainable parameters only.

MMEngine's constructor puts every parameter in. Frozen ones would never move, but they would sit in the checkpoint's
parameter groups, and one that gets a gradient by accident would silently train.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import torch.nn as nn
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper

from vlpeft.adaptation.learning_rates import second_factors
from vlpeft.quiet import counted_logs
from vlpeft.registry import OPTIM_WRAPPER_CONSTRUCTORS

#: Of lines that MMEngine logs for each parameter or each of its options.
FROZEN, TIED, OPTION = 'is skipped since its requires_grad=False', 'is duplicate. It is skipped', 'paramwise_options --'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor (``paramwise_cfg`` included) without the frozen parameters.

    ``paramwise_cfg=dict(lora_plus=16)`` multiplies the learning rate of LoRA's second factors
    (:mod:`vlpeft.adaptation.learning_rates`). The log says in one line how many parameters have which options, rather
    than one line for each of them.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper.

        Args:
            model: The model, wrapped for distributed training or not.

        Raises:
            ValueError: If no parameter of the model requires a gradient; or ``lora_plus`` is no number above 0, or the
                model has no LoRA.
        """
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(
                f'nothing to train: no parameter of {type(model).__name__} requires a gradient '
                '(model.adapter and model.trainable decide what is trained)'
            )
        ratio = self.paramwise_cfg.get('lora_plus')
        fast = set() if ratio is None else second_factors([model], ratio)
        if self.paramwise_cfg:
            # Tied parameters, such as word embeddings, are met once for each of their places.
            self.paramwise_cfg.setdefault('bypass_duplicate', True)
        with counted_logs(FROZEN, TIED, OPTION):
            wrapper = super().__call__(model)
        groups = wrapper.optimizer.param_groups
        for group in groups:
            group['params'] = [parameter for parameter in group['params'] if parameter.requires_grad]
        if fast:
            groups[:] = [part for group in groups for part in _split(group, fast, ratio)]
        groups[:] = [group for group in groups if group['params']]
        self._log(model, groups)
        return wrapper

    @staticmethod
    def _log(model: nn.Module, groups: list) -> None:
        frozen = sum(not parameter.requires_grad for parameter in model.parameters())
        sizes: Counter = Counter()
        for group in groups:
            options = ', '.join(f'{name}={group[name]:g}' for name in ('lr', 'weight_decay') if name in group)
            sizes[options] += len(group['params'])
        trained = '; '.join(f'{count:,} with {options}' for options, count in sizes.items())
        print_log(
            f'optimizer: {sum(sizes.values()):,} parameter tensors ({trained}); {frozen:,} frozen ones left out',
            'current',
        )


def _split(group: dict[str, Any], fast: Collection[int], ratio: float) -> Iterator[dict[str, Any]]:
    """The parameters of a group that are not in ``fast``, and those that are, with ``ratio`` times its rate."""
    for is_fast, lr in ((False, group['lr']), (True, group['lr'] * ratio)):
        yield dict(group, params=[param for param in group['params'] if (id(param) in fast) == is_fast], lr=lr)
