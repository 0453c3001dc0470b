"""Recipes of image-text-to-text models without weights: counts from published numbers, estimates, pipelines.

Sources of the totals: Hugging Face's metadata of the safetensors files for Qwen2.5-VL-3B-Instruct (also in mteb's
model metadata), SmolVLM2-2.2B-Instruct and llava-1.5-7b-hf; keras-hub's presets for Gemma3-4B and PaliGemma2-3B-224,
which has the 257,152 words of the tokenizer, of which Hugging Face's file has 64 more. Of InternVL3-2B no exact number
is published (2.09 billion): the sum of its parts below.
"""

import json

import pytest
from mmengine.registry import init_default_scope

from tests.commands import run_script
from tests.recipe_samples import some_of
from tests.workspace import ROOT
from vlpeft.engine.launch import load_config
from vlpeft.engine.memory import RunLayout, build_for, estimate, sizes_for
from vlpeft.models import count_parameters
from vlpeft.registry import DATASETS, TRANSFORMS

INTERNVL_BLOCK = 4 * (1024 * 1024 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 2 * 2 * 1024 + 2 * 1024
INTERNVL_VISION = 3 * 14 * 14 * 1024 + 1024 + 1024 + (32 * 32 + 1) * 1024 + 24 * INTERNVL_BLOCK
QWEN_1_5B_BLOCK = 2 * 1536 * 1536 + 1536 + 2 * (1536 * 256 + 256) + 3 * 1536 * 8960 + 2 * 1536
TOTALS = {
    'qwen2.5-vl-3b': 3_754_622_976,
    'smolvlm2-2.2b': 2_246_784_880,
    'llava-1.5-7b': 7_063_427_072,
    'paligemma2-3b': 3_032_094_960 + 64 * 2304,
    'gemma3-4b': 4_300_079_472,
    'internvl3-2b': INTERNVL_VISION
    + (2 * 4096 + 4096 * 1536 + 1536 + 1536 * 1536 + 1536)
    + (2 * 151674 * 1536 + 28 * QWEN_1_5B_BLOCK + 1536),
}
# Of the language model: blocks, width, width of queries, of keys and values, of the FFN.
SHAPES = {
    'qwen2.5-vl-3b': (36, 2048, 2048, 256, 11008),
    'smolvlm2-2.2b': (24, 2048, 2048, 2048, 8192),
    'llava-1.5-7b': (32, 4096, 4096, 4096, 11008),
    'paligemma2-3b': (26, 2304, 2048, 1024, 9216),
    'gemma3-4b': (34, 2560, 2048, 1024, 10240),
    'internvl3-2b': (28, 1536, 1536, 256, 8960),
}
CONNECTORS = {
    'qwen2.5-vl-3b': 1280 + (5120 * 5120 + 5120) + (5120 * 2048 + 2048),
    'llava-1.5-7b': (1024 * 4096 + 4096) + (4096 * 4096 + 4096),
}


def lora(model, rank=16):
    """Sum of r (in + out) over q, k, v, o, gate, up, down."""
    blocks, width, queries, values, hidden = SHAPES[model]
    maps = [(width, queries), (width, values), (width, values), (queries, width)]
    maps += [(width, hidden), (width, hidden), (hidden, width)]
    return blocks * sum(rank * (ins + outs) for ins, outs in maps)


def bottlenecks(model, size=64):
    """One after each attention and each FFN."""
    blocks, width, *_ = SHAPES[model]
    return blocks * 2 * (2 * size * width + size + width)


def trained(method, model):
    """(in the method, in place)."""
    blocks, _, _, values, hidden = SHAPES[model]
    return {
        'lora': (lora(model), 0),
        'qlora': (lora(model), 0),
        'bottleneck': (bottlenecks(model), 0),
        # large: the adapter, and a gate of the same size
        'vlpet-large': (2 * bottlenecks(model), 0),
        'ia3': (blocks * (2 * values + hidden), 0),
        'connector': (0, CONNECTORS.get(model, 0)),
        'lora+connector': (lora(model), CONNECTORS.get(model, 0)),
    }[method]


FILES = (ROOT / 'configs/vlm').glob('*.py')
RECIPES = sorted(path.stem for path in FILES if not path.stem.startswith('siglip2'))  # those are dual encoders


def test_every_model_and_method_is_there():
    expected = {f'lora_{model}_{data}' for model in TOTALS for data in ('vqav2', 'own-chat', 'coco-caption')}
    methods = ('vlpet-large', 'bottleneck', 'ia3', 'connector', 'lora+connector')
    expected |= {f'{method}_{model}_vqav2' for method in methods for model in CONNECTORS}
    expected |= {f'{name}_own-chat' for name in ('qlora_qwen2.5-vl-3b', 'lora+connector_qwen2.5-vl-3b')}
    assert set(RECIPES) == expected | {'lora_qwen2.5-vl-3b_own-chat_fsdp'}


# By default every model and method is there once; the other sets have the same models.
SAMPLE = [name for name in RECIPES if not name.endswith(('own-chat', 'coco-caption')) or name.startswith('qlora')]


@some_of(RECIPES, SAMPLE)
def test_counts_and_memory_without_weights(recipe):
    method, name, *_ = recipe.split('_')
    cfg, sharded = load_config(f'configs/vlm/{recipe}.py'), recipe.endswith('fsdp')
    init_default_scope('vlpeft')
    share = 4 if sharded else 1
    layout = RunLayout.of(cfg, share)
    model = build_for(cfg, layout)
    counts, (added, in_place) = count_parameters(model), trained(method, name)
    assert counts['total'] == TOTALS[name] + added
    assert counts['trainable'] == added + in_place

    rows = estimate(model, layout, cfg.optim_wrapper, sizes_for(cfg, model, text=36, answer=16))
    # What trains, in place or added, is float32.
    frozen = 2 * (TOTALS[name] - in_place) // share
    assert rows['trained_weights'] == 4 * (added + in_place) // share
    # AdamW also counts the steps of each of its tensors.
    assert rows['optimiser_state'] == pytest.approx(8 * (added + in_place) // share, rel=1e-4)
    assert rows['frozen_weights'] == (frozen - 3 * quantised(model) // 2 if method == 'qlora' else frozen)


def quantised(model):
    """Numbers in the linear maps of all blocks and of the merger: from the published sizes."""
    assert set(model.tower_paths) == {'vision', 'lm'}
    lm = 36 * (2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 11008)
    vision = 32 * (4 * 1280 * 1280 + 3 * 1280 * 3420)
    return lm + vision + 5120 * 5120 + 5120 * 2048


def test_the_tools_print_both():
    config = 'configs/vlm/lora_internvl3-2b_vqav2.py'
    counted = run_script('tools/analysis_tools/count_params.py', config, '--json')
    assert json.loads(counted.stdout)['trainable'] == lora('internvl3-2b')
    options = ['--text-tokens', 36, '--answer-tokens', 8, '--gpus', 2]
    said = run_script('tools/analysis_tools/estimate_memory.py', config, *options).stdout
    sizes = 'frames 1, images 1, text 36, answer 8, task vqa, picture_tokens 256'
    assert f'2 devices, not sharded, 8 samples on each ({sizes}); recomputed: lm' in said


@pytest.mark.parametrize('recipe', [name for name in RECIPES if name.startswith('lora_')])
def test_steps_of_the_pipeline_get_the_processor_of_the_model(recipe):
    cfg = load_config(f'configs/vlm/{recipe}.py')
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        *before, pack = cfg[loader].dataset.pipeline
        assert pack.type == 'PackChat' and pack.processor == cfg.model.processor == cfg.model.base_checkpoint.source
        assert pack.task in cfg.model.tasks
        assert {name: pack[name] for name in cfg.packing} == cfg.packing
        assert all(TRANSFORMS.build(step) for step in (*before, pack))
        assert DATASETS.get(cfg[loader].dataset.type) is not None


def test_what_a_step_says_itself_stands_and_options_reach_it():
    path, options = 'configs/vlm/lora_qwen2.5-vl-3b_own-chat.py', {'model.processor': 'mine', 'packing.max_length': 64}
    steps = [load_config(path, options)[f'{name}_dataloader'].dataset.pipeline[0] for name in ('train', 'test')]
    assert [(step.processor, step.max_length) for step in steps] == [('mine', 64)] * 2
    options = {'packing': {}, 'train_dataloader.dataset.pipeline.0.processor': 'other'}
    cfg = load_config(path, options)
    assert cfg.train_dataloader.dataset.pipeline[0].processor == 'other'
    assert cfg.val_dataloader.dataset.pipeline[0].processor == 'Qwen/Qwen2.5-VL-3B-Instruct'
