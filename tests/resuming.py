"""What a run leaves at each of its checkpoints, and whether two runs left the same."""

import shutil
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from vlpeft.checkpoint.safe_globals import register_safe_globals
from vlpeft.engine.hooks import AdapterCheckpointHook
from vlpeft.registry import HOOKS


@HOOKS.register_module()
class CopyCheckpoints(Hook):
    """Saves within every epoch too, and keeps a copy of the work folder at each checkpoint: what a kill would leave."""

    priority = 'LOWEST'

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.copies = {}

    def _copy(self, runner, name: str) -> None:
        if is_main_process():
            shutil.copytree(runner.work_dir, self.folder / name)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.train_loop.batch == 2:
            (saver,) = (hook for hook in runner.hooks if isinstance(hook, AdapterCheckpointHook))
            saver.save_within(runner)
            self._copy(runner, f'within{runner.epoch + 1}')

    def after_train_epoch(self, runner) -> None:
        self._copy(runner, f'epoch{runner.epoch + 1}')

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._copy(runner, f'validated{runner.epoch}')


def outcome(folder: Path) -> dict:
    """All that a run leaves: the tensors and numbers of its checkpoints, by file."""
    found = {}
    for path in sorted(path for kind in ('best', 'epoch', 'iter') for path in folder.glob(f'{kind}_*.pth')):
        register_safe_globals()
        checkpoint = torch.load(path, weights_only=True)
        info = checkpoint['message_hub']['runtime_info']
        found[path.name] = dict(
            state=checkpoint['state_dict'],
            optimizer=checkpoint.get('optimizer'),
            schedulers=checkpoint.get('param_schedulers'),
            best=info.get('best_score'),
            at=checkpoint['meta']['iter'],
            position={key: value for key, value in checkpoint.get('position', {}).items() if key != 'generators'},
            torch=checkpoint['position']['generators'][0]['torch'] if 'position' in checkpoint else None,
        )
    return found


def assert_same(one, two, path='') -> None:
    """Equal to the last bit, at every depth."""
    assert type(one) is type(two), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    elif isinstance(one, dict):
        assert list(one) == list(two), path
        for key in one:
            assert_same(one[key], two[key], f'{path}/{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for number, (mine, other) in enumerate(zip(one, two)):
            assert_same(mine, other, f'{path}/{number}')
    else:
        assert one == two, path
