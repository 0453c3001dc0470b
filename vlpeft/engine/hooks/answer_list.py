"""Hands the model the closed answer list of the set that it is about to answer."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

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
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if dataloader.dataset.answer_list is not None:
            model.set_answer_list(dataloader.dataset.answer_list)
