"""Bases by name, and files of half precision."""

from collections import Counter

import pytest
import torch
from torch import nn

from vlpeft import bases
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.download import fetch
from vlpeft.checkpoint.files import read_checkpoint, write_safetensors
from vlpeft.checkpoint.hashing import file_sha256
from vlpeft.checkpoint.load import load_into


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo with one base that it brings itself, seen from another folder."""
    folder = tmp_path / 'zoo/configs/small'
    folder.mkdir(parents=True)
    write_safetensors({'vision.weight': torch.ones(2, 3)}, folder / 'small.safetensors')
    digest = file_sha256(folder / 'small.safetensors')
    (tmp_path / 'zoo/configs/base_checkpoints.yml').write_text(
        f'small:\n  Weights: configs/small/small.safetensors\n  SHA256: {digest}\n'
        'far:\n  Weights: https://example.org/far.pth\n'
    )
    monkeypatch.setattr(bases, 'zoo_root', lambda: tmp_path / 'zoo')
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    return folder


def test_a_name_is_its_file_from_any_folder(zoo):
    assert fetch('small') == zoo / 'small.safetensors'
    assert bases.base_folder('small') == zoo and bases.base_folder('far') is bases.base_folder('smal') is None


def test_the_hash_of_a_named_base_is_checked(zoo):
    write_safetensors({'vision.weight': torch.zeros(2, 3)}, zoo / 'small.safetensors')
    with pytest.raises(CheckpointError, match='not the expected file'):
        fetch('small')


def test_an_unknown_name_lists_the_known(zoo):
    with pytest.raises(FileNotFoundError, match='not found: smal; bases known by name are small, far'):
        fetch('smal')
    with pytest.raises(FileNotFoundError, match=r'not found: mine/small\.pth$'):
        fetch('mine/small.pth')


def test_a_file_of_that_name_comes_first(zoo, tmp_path):
    (tmp_path / 'elsewhere/small').write_text('mine')
    assert fetch('small').read_text() == 'mine'


@pytest.mark.parametrize('half', [torch.float16, torch.bfloat16])
def test_half_precision_fills_full_precision_with_the_same_numbers(tmp_path, half):
    """0.1 in half precision is 0.0999755859375 or 0.10009765625 exactly, which float32 holds as it is."""
    model = nn.Module()
    model.vision = nn.Linear(2, 1)
    state = {'vision.weight': torch.tensor([[0.1, 3.0]], dtype=half), 'vision.bias': torch.tensor([1.0])}
    write_safetensors(state, tmp_path / 'half.safetensors')
    assert read_checkpoint(tmp_path / 'half.safetensors')['state_dict']['vision.weight'].dtype == half
    report = load_into(model, Checkpoint.read(tmp_path / 'half.safetensors'))
    assert model.vision.weight.dtype == torch.float32
    assert model.vision.weight.tolist() == [[0.0999755859375 if half == torch.float16 else 0.10009765625, 3.0]]
    name = str(half).removeprefix('torch.')
    assert report.converted == Counter({f'{name} -> float32': 1})
    assert f'converted: 1 tensors {name} -> float32' in str(report)
