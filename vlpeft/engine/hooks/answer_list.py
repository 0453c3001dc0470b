"""Hands the model the closed answer list of the set that it is about to answer."""

from mmengine.hooks import Hook

from vlpeft.engine.task_model import task_model
from vlpeft.registry import HOOKS


@HOOKS.register_module()
class AnswerListHook(Hook):
    """Gives the model its data set's ``answer_list`` before validation and test; sets without one change nothing."""

    def before_val(self, runner) -> None:
        self._hand_over(runner, runner.val_dataloader)

    def before_test(self, runner) -> None:
        self._hand_over(runner, runner.test_dataloader)

    @staticmethod
    def _hand_over(runner, dataloader) -> None:
        model = task_model(runner)
        if dataloader.dataset.answer_list is not None:
            model.set_answer_list(dataloader.dataset.answer_list)
