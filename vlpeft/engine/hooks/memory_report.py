"""Says before training how much memory it will take, roughly."""

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from vlpeft.engine.memory import RunLayout, estimate, table
from vlpeft.engine.task_model import task_model
from vlpeft.registry import HOOKS


@HOOKS.register_module()
class MemoryReportHook(Hook):
    """Logs :func:`vlpeft.engine.memory.estimate` of the run.

    Args:
        tokens: Per sample, through each tower that passes gradients on. Defaults to 64.
        answer_tokens: Those of which logits are made, for image-text-to-text models. Defaults to None, all.
    """

    def __init__(self, tokens: int = 64, answer_tokens: int | None = None) -> None:
        self.tokens, self.answer_tokens = tokens, answer_tokens

    def before_train(self, runner) -> None:
        model = task_model(runner)
        layout = RunLayout.of(runner.cfg, get_world_size())
        rows = estimate(model, layout, self.tokens, self.answer_tokens)
        runner.logger.info('memory, estimated: ' + table(rows, model, layout, self.tokens, self.answer_tokens))
