"""Says before training how much memory it will take, roughly."""

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from vlpeft.analysis.flop_passes import FlopError
from vlpeft.engine.memory import RunLayout, build_for, estimate, sizes_for, table
from vlpeft.registry import HOOKS


@HOOKS.register_module()
class MemoryReportHook(Hook):
    """Logs :func:`vlpeft.engine.memory.estimate` of the run.

    Args:
        **sizes: Of the samples (:class:`~vlpeft.analysis.flop_inputs.Sizes`), such as ``text=30``. Defaults to what
            ``vlpeft estimate`` counts with.
    """

    def __init__(self, **sizes: int | str) -> None:
        self.sizes = sizes

    def before_train(self, runner) -> None:
        layout = RunLayout.of(runner.cfg, get_world_size())
        try:
            model = build_for(runner.cfg, layout)
            sizes = sizes_for(runner.cfg, model, **self.sizes)
            rows = estimate(model, layout, runner.cfg.optim_wrapper, sizes, not torch.cuda.is_available())
        except FlopError as error:
            runner.logger.info(f'memory, not estimated: {error}')
            return
        runner.logger.info('memory, estimated: ' + table(rows, model, layout, sizes))
