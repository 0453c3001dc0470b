"""Says before training what trains, and refuses to start when that is not what was declared."""

from collections.abc import Iterable

from mmengine.hooks import Hook
from torch import nn

from vlpeft.checkpoint.coverage import random_parts
from vlpeft.engine.task_model import task_model
from vlpeft.models.parameters import count_parameters
from vlpeft.registry import HOOKS
from vlpeft.sites import is_below


def _shorten(names: Iterable[str]) -> str:
    names = sorted(names)
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')


def report(counts: dict) -> str:
    """Counts of :func:`count_parameters` as a table."""
    lines = [f'{"role":<16}{"trainable":>14}{"total":>14}']
    for role, total in counts['by_role'].items():
        lines.append(f'{role:<16}{counts["trainable_by_role"].get(role, 0):>14,}{total:>14,}')
    lines.append(f'{"all":<16}{counts["trainable"]:>14,}{counts["total"]:>14,}   {counts["percent"]:.2f} %')
    lines.append('by tower: ' + ', '.join(f'{name} {total:,}' for name, total in counts['by_tower'].items()))
    lines.append(f'adapter checkpoint: {counts["adapter_bytes"] / 2**20:.1f} MiB of trained weights')
    return '\n'.join(lines)


def _must_be_filled(model: nn.Module, name: str) -> bool:
    """Whether a frozen parameter of a backbone may not be random; a tower without gradient may where the others train
    from scratch.
    """
    if model.trains_all and any(is_below(path, name) for path in model.no_grad_parts):
        return False
    return name.partition('.')[0] in model.backbones


@HOOKS.register_module()
class FreezeReportHook(Hook):
    """Verifies that exactly the declared parameters train, and prints them by role and tower."""

    def before_train(self, runner) -> None:
        """Checks and reports.

        Raises:
            RuntimeError: Parameters require gradients, or are in the optimiser, that were not declared, or the
                reverse; or the frozen backbone or a head that is not declared to train has random weights.
        """
        model = task_model(runner)
        optimised = {id(param) for group in runner.optim_wrapper.optimizer.param_groups for param in group['params']}
        params = dict(model.named_parameters())
        trained = {name for name, param in params.items() if param.requires_grad}
        stepped = {name for name, param in params.items() if id(param) in optimised}
        for what, found in (('require gradients', trained), ('are in the optimiser', stepped)):
            for fault, names in (('undeclared', found - model.declared), ('declared but not', model.declared - found)):
                if names:
                    raise RuntimeError(
                        f'{len(names)} parameters {what} differently from the declaration ({fault}): {_shorten(names)}'
                    )
        # A base fills its backbones, but for what its layout declares as new, which is warned of.
        random = [name for name in random_parts(model) if name not in model.declared and _must_be_filled(model, name)]
        if model.base is None and random:
            raise RuntimeError(
                f'the backbone is frozen but has random weights ({_shorten(random)}): set '
                'model.base_checkpoint=dict(source=…), give a whole checkpoint as load_from, or '
                "model.trainable='all' to train from scratch"
            )
        if heads := model.left_out.intersection(random_parts(model)):
            raise RuntimeError(
                f"heads are frozen but have random weights ({_shorten(heads)}): add 'heads' to model.trainable, or "
                'give a base or load_from that holds them'
            )
        runner.logger.info('parameters\n' + report(count_parameters(model)))
