"""AdaLoRA's ranks of Hugging Face PEFT: fewer and fewer, chosen after each step of whatever optimizer trains them."""

import functools
import weakref
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class Constant(nn.Module):
    """A tensor by the name of the layers' only adapter, moved and converted with them, and no parameter."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_buffer(name, value.detach(), persistent=False)

    def __getitem__(self, name: str) -> Tensor:
        return self.get_buffer(name)


class RankAllocation(nn.Module):
    """Follows every optimizer that holds the factors of a tuner.

    Args:
        tuner: The package's, of AdaLoRA.
        name: Of its adapter.

    Attributes:
        steps: That were followed; it is kept in checkpoints, so that a resumed run goes on in the schedule.
    """

    def __init__(self, tuner: nn.Module, name: str) -> None:
        super().__init__()
        # In a tuple: the tuner is a part of the method's already.
        self.tuner, self.name = (tuner,), name
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        for layer in self.layers():
            # A number that the package keeps as a parameter which never trains.
            layer.ranknum = Constant(name, layer.ranknum[name])
        self._follow()

    def __setstate__(self, state: dict) -> None:
        """Copies follow, too."""
        super().__setstate__(state)
        self._follow()

    def _follow(self) -> None:
        _hook()
        _FOLLOWING.add(self)

    def layers(self) -> Iterator[nn.Module]:
        """Those of the tuner."""
        return (layer for layer in self.tuner[0].model.modules() if hasattr(layer, 'lora_E'))

    def penalty(self) -> Tensor:
        """w · mean of ‖A Aᵀ - I‖ and ‖Bᵀ B - I‖ over all layers."""
        factors = [(layer.lora_A[self.name], layer.lora_B[self.name].T) for layer in self.layers()]
        grams = [rows @ rows.T for pair in factors for rows in pair]
        norms = [torch.norm(gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)) for gram in grams]
        return self.tuner[0].peft_config[self.name].orth_reg_weight * torch.stack(norms).mean()

    def _used(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer steps what a loss has reached.

        Raises:
            RuntimeError: It has reached some of the factors only.
        """
        held = {id(param) for group in optimizer.param_groups for param in group['params']}
        factors = [(key, param) for key, param in self.tuner[0].model.named_parameters() if id(param) in held]
        missing = [key for key, param in factors if param.grad is None]
        if 0 < len(missing) < len(factors):
            raise RuntimeError(
                f'AdaLoRA needs the gradients of all of its factors; {len(missing)} have none, such as {missing[0]}'
            )
        return len(missing) < len(factors)

    def before_step(self, optimizer: Optimizer) -> None:
        """What a process before this one has chosen is known by the zeros that it set; what it has averaged is not in
        checkpoints, and begins anew.
        """
        config, allocator = self.tuner[0].peft_config[self.name], self.tuner[0].rankallocator
        last = config.total_step - config.tfinal
        if not self._used(optimizer):
            return
        if self.steps == last and not allocator.exp_avg_ipt:
            allocator.update_ipt(self.tuner[0].model)
        if self.steps > last and not config.rank_pattern:
            config.rank_pattern = {
                key: (param != 0).flatten().tolist()
                for key, param in self.tuner[0].model.named_parameters()
                if f'lora_E.{self.name}' in key
            }

    def after_step(self, optimizer: Optimizer) -> None:
        """Updates the importances from the gradients, and sets what is over the budget to zero."""
        if self._used(optimizer):
            self.tuner[0].update_and_allocate(int(self.steps))
            self.steps += 1


#: Those that are alive.
_FOLLOWING: weakref.WeakSet[RankAllocation] = weakref.WeakSet()


@functools.cache
def _hook() -> None:
    """Tells them of every step of every optimizer; after it, the gradients are not cleared yet."""

    def before_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        for allocation in list(_FOLLOWING):
            allocation.before_step(optimizer)

    def after_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        for allocation in list(_FOLLOWING):
            allocation.after_step(optimizer)

    register_optimizer_step_pre_hook(before_step)
    register_optimizer_step_post_hook(after_step)
