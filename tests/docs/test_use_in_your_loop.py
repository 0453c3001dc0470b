"""The blocks of docs/use_in_your_loop.md run as they stand, one after the other."""

import re
import warnings

import pytest
import torch
from safetensors.torch import load_file

from tests.workspace import ROOT

BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/use_in_your_loop.md').read_text(), re.DOTALL)
LIGHTNING = [block for block in BLOCKS if 'import lightning' in block]


def execute(block: str, scope: dict) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings('error', module='vlpeft')
        exec(compile(block, 'docs/use_in_your_loop.md', 'exec'), scope)


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (len(BLOCKS), len(LIGHTNING)) == (7, 1)
    scope = {}
    for block in BLOCKS:
        if block not in LIGHTNING:
            execute(block, scope)
    printed = capsys.readouterr().out
    first, last = (float(text) for text in re.findall(r'step \d+: loss ([\d.]+)', printed))
    assert last < 0.8 * first
    assert 'encoder' in printed and 'VLPET, active, acts at' in printed
    saved = load_file(tmp_path / 'trainer/checkpoint-4/model.safetensors')
    assert saved and all(key.startswith('sets.default.') for key in saved)
    assert (tmp_path / 'my-lora/adapter_config.json').is_file()


@pytest.mark.filterwarnings('ignore')
def test_the_block_with_lightning_trains_saves_and_goes_on(tmp_path, monkeypatch):
    pytest.importorskip('lightning', reason='lightning is not installed')
    monkeypatch.chdir(tmp_path)
    scope = {}
    execute(BLOCKS[0], scope)
    scope['config'].dropout_rate = 0.0
    execute(LIGHTNING[0], scope)
    trained, again = scope['module'].adapter, scope['again'].adapter
    for (name, tensor), other in zip(trained.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name
    saved = torch.load('lightning/step=20.ckpt', weights_only=True)
    assert saved['state_dict'].keys() == {f'adapter.{name}' for name in trained.state_dict()}
    assert len(saved['optimizer_states'][0]['state']) == len(saved['state_dict'])
    ids = torch.randint(1, 100, (32, 6), generator=torch.Generator().manual_seed(0))
    batch = dict(input_ids=ids, labels=ids[:, :3].contiguous())
    trained.eval()
    with torch.no_grad():
        after = trained(**batch).loss
        with trained.use(None):
            before = trained(**batch).loss
    assert after < 0.95 * before
    assert (tmp_path / 'from-lightning/adapter_model.safetensors').is_file()
