"""The blocks of docs/use_in_your_loop.md run as they stand, one after the other."""

import re
import warnings

from safetensors.torch import load_file

from tests.workspace import ROOT


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/use_in_your_loop.md').read_text(), re.DOTALL)
    assert len(blocks) == 6
    scope = {}
    for block in blocks:
        with warnings.catch_warnings():
            warnings.filterwarnings('error', module='vlpeft')
            exec(compile(block, 'docs/use_in_your_loop.md', 'exec'), scope)
    printed = capsys.readouterr().out
    first, last = (float(text) for text in re.findall(r'step \d+: loss ([\d.]+)', printed))
    assert last < 0.8 * first
    assert 'encoder' in printed and 'VLPET, active, acts at' in printed
    saved = load_file(tmp_path / 'trainer/checkpoint-4/model.safetensors')
    assert saved and all(key.startswith('sets.default.') for key in saved)
    assert (tmp_path / 'my-lora/adapter_config.json').is_file()
