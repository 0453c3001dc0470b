"""The memory estimate against numbers worked out by hand, and against what a pass really keeps."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.cached_runs import cached_config, write_pictures
from tests.tiny_epalm import VOCAB, build_perceptual, random_texts, random_vectors
from tests.towers import VISION
from vlpeft.engine.launch import build_runner
from vlpeft.engine.memory import RunLayout, build_on_meta, estimate, evaluation_bytes, stored_per_token
from vlpeft.registry import MODELS
from vlpeft.sites import describe

ROOT = Path(__file__).parents[2]
FULLY_SHARDED = 'configs/epalm/epalm-ptl_opt-6.7b_vit-l_vqav2_fsdp.py'

# Three connectors 12 -> 16, two rows of prompt, its MLP.
TRAINED = 3 * (12 * 16 + 16) + 2 * 16 + 2 * (16 * 16 + 16)
# Attention, FFN of width 24, two norms.
LM_BLOCK = 4 * (16 * 16 + 16) + (16 * 24 + 24) + (24 * 16 + 16) + 2 * 2 * 16
LM_REST = VOCAB * 16 + (64 + 2) * 16 + 2 * 16
ENCODER_BLOCK = 4 * (12 * 12 + 12) + (12 * 24 + 24) + (24 * 12 + 12) + 2 * 2 * 12
# Patches of 8 x 8, class token, 4 + 1 positions, the final norm.
ENCODER_REST = 3 * 64 * 12 + 12 + 12 + 5 * 12 + 2 * 12
FROZEN = 8 * LM_BLOCK + LM_REST + 6 * ENCODER_BLOCK + ENCODER_REST
STORED = 6 * 16 + 24


@pytest.fixture(scope='module')
def model():
    return build_perceptual(torch.float32)


def test_one_device_in_float32(model):
    rows = estimate(model, RunLayout(batch_size=3), tokens=10)
    assert rows == dict(
        frozen_weights=4 * FROZEN,
        trained_weights=4 * TRAINED,
        gradients=4 * TRAINED,
        optimiser_state=8 * TRAINED,
        activations=3 * 10 * 8 * STORED * 4,
        logits=3 * 10 * VOCAB * 16,
    )


def test_four_devices_fully_sharded_in_bfloat16_with_gradient_checkpointing(model):
    layout = RunLayout(4, True, 'AdamW', torch.bfloat16, False, 3, ('lm',))
    assert estimate(model, layout, tokens=10) == dict(
        frozen_weights=2 * FROZEN // 4,
        trained_weights=TRAINED,
        gradients=TRAINED,
        optimiser_state=2 * TRAINED,
        gathered=2 * (LM_REST + ENCODER_REST + TRAINED + 2 * LM_BLOCK),
        activations=3 * 10 * (8 * 16 + STORED) * 2,
        logits=3 * 10 * VOCAB * 12,
    )
    assert evaluation_bytes(model, layout) == 2 * (FROZEN + TRAINED)


def test_two_devices_with_autocast_and_sgd(model):
    rows = estimate(model, RunLayout(2, False, 'SGD', torch.bfloat16, True, 3), tokens=10)
    assert rows == dict(
        frozen_weights=4 * FROZEN,
        trained_weights=4 * TRAINED,
        gradients=4 * TRAINED,
        optimiser_state=4 * TRAINED,
        buckets=4 * TRAINED,
        casts=2 * 8 * LM_BLOCK,
        activations=3 * 10 * 8 * (2 * STORED + 2 * 2 * 16),
        logits=3 * 10 * VOCAB * 12,
    )


def kept_bytes(model, autocast: bool) -> int:
    """What a forward pass through the language model's blocks saves for its backward pass, parameters aside."""
    own = {param.untyped_storage().data_ptr() for param in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor
        return tensor

    tokens = random_texts((40,) * 8)
    lead = model.lead(random_vectors(model, batch=8))
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast('cpu', torch.bfloat16) if autocast else nullcontext(),
    ):
        model.reader.read(model.reader.words(tokens.ids), tokens.mask, lead)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize('lm, autocast', [('opt', False), ('opt', True), ('llama', False)])
def test_a_pass_keeps_up_to_a_half_more_than_estimated(lm, autocast):
    model = build_perceptual(torch.float32, lm=lm)
    rows = estimate(model, RunLayout(compute=torch.bfloat16 if autocast else None, autocast=autocast, batch_size=8), 43)
    assert 1 <= kept_bytes(model, autocast) / (rows['activations'] + rows.get('casts', 0)) < 1.5


@pytest.mark.parametrize('name', ['dinov2', 'dinov2_giant', 'beit', 'eva02'])
def test_a_block_of_each_vision_family(name):
    """5 D of an attention, D + F of an FFN, D + 3 F of a gated one."""
    tower = describe(MODELS.build(VISION[name]), 'vision')
    last = next(
        module
        for path, module in tower.block_modules[0].named_modules()
        if path in ('ffn.layers.1', 'ffn.w3', 'mlp.w3')
    )
    inner = (3 if name in ('dinov2_giant', 'eva02') else 1) * last.in_features
    expected = 4 * (6 * tower.width + inner)
    assert stored_per_token(tower.blocks[0], tower.width, torch.float32, autocast=False) == expected


def test_the_layout_and_the_weights_of_the_6_7b_recipe_on_8_devices():
    cfg = Config.fromfile(ROOT / FULLY_SHARDED)
    layout = RunLayout.of(cfg, 8)
    assert layout == RunLayout(8, True, 'AdamW', torch.bfloat16, False, 2, ('lm',))
    rows = estimate(build_on_meta(cfg), layout, tokens=64)
    assert rows['frozen_weights'] == (6_966_014_976 - 4_239_360) * 2 // 8
    assert rows['optimiser_state'] == 4_239_360 * 4 * 2 // 8
    # Without the strategy the same config is neither sharded nor recomputed.
    cfg.pop('strategy')
    assert RunLayout.of(cfg, 8) == RunLayout(8, False, 'AdamW', None, False, 2, ())


def test_a_run_says_it_first(tmp_path):
    data = write_pictures(tmp_path / 'data', files=4)
    config = cached_config(data, 'run', epochs=1, log_level='INFO')
    config.default_hooks.memory = dict(type='MemoryReportHook', tokens=20)
    build_runner(config).train()
    log = next((data / 'run').glob('*/*.log')).read_text()
    said = log.index('memory, estimated: 1 device, not sharded, 4 samples of 20 tokens')
    assert said < log.index('Epoch(train)')


def test_the_tool_prints_the_estimate(tmp_path):
    model = cached_config(tmp_path, 'run')
    (tmp_path / 'config.py').write_text(Config(model.to_dict(), format_python_code=False).pretty_text)
    command = [sys.executable, 'tools/analysis_tools/estimate_memory.py', str(tmp_path / 'config.py')]
    done = subprocess.run([*command, '--json', '--gpus', '2'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['frozen_weights'] == 4 * FROZEN
