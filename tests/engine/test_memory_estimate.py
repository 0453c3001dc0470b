"""The memory estimate against numbers worked out by hand, and against the resident memory of real steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.nn import functional

from tests.cached_runs import cached_config, write_pictures
from tests.medium_recipes import medium_recipe
from tests.tiny import retriever_config
from tests.tiny_epalm import VOCAB, perceptual_config
from vlpeft.analysis.flop_inputs import Sizes
from vlpeft.analysis.flops import build
from vlpeft.analysis.live_bytes import FusedAttention, LiveBytes
from vlpeft.analysis.resident_memory import measure
from vlpeft.engine.launch import build_runner
from vlpeft.engine.memory import RunLayout, build_for, estimate, evaluation_bytes, sizes_for

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
#: AdamW also counts steps, in a float32 for each of its tensors: weight and bias of 3 + 2 maps, rows of the prompt.
STEPS = 4 * (2 * 5 + 1)
SGD, ADAMW = dict(optimizer=dict(type='SGD', lr=0.1)), dict(optimizer=dict(type='AdamW', lr=0.1))


@pytest.fixture
def model():
    return build(perceptual_config())


def weights(rows):
    return {name: size for name, size in rows.items() if name not in ('activations', 'buffers')}


def test_one_device_in_float32(model):
    rows = estimate(model, RunLayout(), ADAMW, Sizes(batch=3, text=6, answer=4, task='vqa'))
    assert weights(rows) == dict(
        frozen_weights=4 * FROZEN,
        trained_weights=4 * TRAINED,
        gradients=4 * TRAINED,
        optimiser_state=pytest.approx(8 * TRAINED, abs=STEPS),
    )


def test_four_devices_fully_sharded_in_bfloat16(model):
    layout = RunLayout(4, True, torch.bfloat16, False, ('lm',))
    rows = estimate(model, layout, ADAMW, Sizes(batch=3, text=6, answer=4, task='vqa'))
    assert weights(rows) == dict(
        frozen_weights=2 * FROZEN // 4,
        trained_weights=TRAINED,
        gradients=TRAINED,
        optimiser_state=pytest.approx(2 * TRAINED, abs=STEPS),
        gathered=2 * (LM_REST + ENCODER_REST + TRAINED + 2 * LM_BLOCK),
    )
    assert evaluation_bytes(model, layout) == 2 * (FROZEN + TRAINED)


def test_two_devices_with_sgd_without_momentum(model):
    rows = estimate(model, RunLayout(2), SGD, Sizes(batch=3, text=6, answer=4, task='vqa'))
    assert weights(rows) == dict(
        frozen_weights=4 * FROZEN, trained_weights=4 * TRAINED, gradients=4 * TRAINED, buckets=4 * TRAINED
    )


def test_momentum_copies_and_the_queue_are_buffers():
    model = build(retriever_config(adapter=dict(type='UniAdapter', bottleneck=4)))
    trained = sum(param.numel() for param in model.parameters() if param.requires_grad)
    # 12 features of 8 numbers of each kind, their ids, and where the next ones go.
    queue = 4 * 2 * 12 * 8 + 8 * 12 + 8
    rows = estimate(model, RunLayout(), ADAMW, Sizes(batch=2))
    assert rows['buffers'] == 4 * trained + queue + sum(table.numel() * table.itemsize for table in tables(model))


def tables(model):
    """Buffers that are neither."""
    return [buffer for name, buffer in model.named_buffers() if not name.startswith(('momentum.', 'queue.'))]


def test_what_a_linear_map_and_its_step_hold():
    """By hand: the input and the gradient of the output of a map whose weight trains, at its highest."""
    live, map_ = LiveBytes(), torch.nn.Linear(32, 64, bias=False, device='meta')
    with live:
        given = torch.zeros(8, 32, device='meta')
        assert live.now == 4 * 8 * 32
        out = map_(given)
        loss = out.square().sum()
        assert live.now == 4 * (8 * 32 + 2 * 8 * 64 - 8 * 64 + 1)  # the squares are gone, what is squared is kept
        loss.backward()
        del out, loss
    assert live.now == 4 * (8 * 32 + 32 * 64)  # the input is still named here, the gradient stays
    del given
    assert live.now == 4 * 32 * 64


@pytest.mark.parametrize('fused, kept', [(True, 0), (False, 1)])
def test_attention_with_dropout_keeps_its_maps_on_a_cpu_alone(fused, kept):
    heads, length, live = 4, 64, LiveBytes()
    with live, FusedAttention(keeps_dropped=not fused):
        query = torch.zeros(2, heads, length, 8, device='meta', requires_grad=True)
        before = live.now
        out = functional.scaled_dot_product_attention(query, query, query, dropout_p=0.1)
        maps = (live.now - before) / (4 * 2 * heads * length * length)
    assert out.requires_grad and (maps > 1) == bool(kept) and (kept or maps < 0.3)


#: Of several kinds, about 200 to 500 MB each: samples of a step, and settings beside the recipe's.
STEPS_OF = {
    'retrieval': ('uniadapter/blip_msrvtt', dict(batch=4, frames=4), {}),
    'seq2seq': ('vl_pet/vlpet-large_bart-base_vqa', dict(batch=16), {}),
    'perceiving language model': ('epalm/epalm_opt-2.7b_vit-b_vqav2', dict(batch=32), {}),
    'all weights': ('baselines/bart-base_image_full', dict(batch=8), {}),
    'question answering': ('uniadapter/blip_vqav2', dict(batch=4), {}),
    'recomputed': (
        'uniadapter/blip_msrvtt',
        dict(batch=8, frames=4),
        {'model.gradient_checkpointing': ['vision', 'text']},
    ),
}
QUICK = ('retrieval', 'seq2seq', 'perceiving language model')


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='resident memory is measured on Linux')
@pytest.mark.parametrize(
    'kind', [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in STEPS_OF]
)
def test_real_steps_take_what_was_estimated(kind):
    recipe, wanted, settings = STEPS_OF[kind]
    cfg = medium_recipe(recipe)
    cfg.merge_from_dict(settings)
    layout = RunLayout.of(cfg, 1)
    model = build_for(cfg, layout)
    sizes = sizes_for(cfg, model, **wanted)
    rows = estimate(model, layout, cfg.optim_wrapper, sizes, on_cpu=True)
    measured = measure(cfg, vars(sizes))['training']
    print(f'{kind}: {sum(rows.values()) / 1e6:.0f} MB estimated, {measured / 1e6:.0f} MB measured')
    assert measured > 100e6
    assert sum(rows.values()) == pytest.approx(measured, rel=0.15)


def test_the_layout_and_the_weights_of_the_6_7b_recipe_on_8_devices():
    cfg = Config.fromfile(ROOT / FULLY_SHARDED)
    layout = RunLayout.of(cfg, 8)
    assert layout == RunLayout(8, True, torch.bfloat16, False, ('lm',))
    model = build_for(cfg, layout)
    sizes = sizes_for(cfg, model, text=54)
    assert sizes.batch == 2
    rows = estimate(model, layout, cfg.optim_wrapper, sizes)
    assert rows['frozen_weights'] == (6_966_014_976 - 4_239_360) * 2 // 8
    assert rows['optimiser_state'] == pytest.approx(4_239_360 * 4 * 2 // 8, rel=1e-4)
    # Without the strategy the same config is neither sharded nor recomputed.
    cfg.pop('strategy')
    assert RunLayout.of(cfg, 8) == RunLayout(8, False, None, False, ())


def test_a_run_says_it_first(tmp_path):
    data = write_pictures(tmp_path / 'data', files=4)
    config = cached_config(data, 'run', epochs=1, log_level='INFO')
    config.default_hooks.memory = dict(type='MemoryReportHook', text=15, answer=5)
    build_runner(config).train()
    log = next((data / 'run').glob('*/*.log')).read_text()
    said = log.index(
        'memory, estimated: 1 device, not sharded, 4 samples on each (frames 1, images 1, text 15, answer 5'
    )
    assert said < log.index('Epoch(train)')


def test_the_tool_prints_the_estimate(tmp_path):
    model = cached_config(tmp_path, 'run')
    (tmp_path / 'config.py').write_text(Config(model.to_dict(), format_python_code=False).pretty_text)
    command = [sys.executable, 'tools/analysis_tools/estimate_memory.py', str(tmp_path / 'config.py')]
    done = subprocess.run([*command, '--json', '--gpus', '2'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['frozen_weights'] == 4 * FROZEN
