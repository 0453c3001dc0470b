"""Counts against closed forms of transformers, against torch's own counter, and against the method's formulas."""

import math
from functools import cache

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.tiny import build_retriever
from vlpeft.analysis.flop_counter import FlopCounter
from vlpeft.analysis.flop_inputs import Sizes
from vlpeft.analysis.flop_passes import FlopError
from vlpeft.analysis.flops import count, inference
from vlpeft.engine.launch import load_config
from vlpeft.zoo.config_names import find_config


@cache
def counted(name, **sizes):
    init_default_scope('vlpeft')
    found = count(load_config(str(find_config(name))), **sizes)
    return {row['name']: row for row in found['inference']}, found


def attention(queries, keys, width, inner=None):
    """FLOPs of one attention: four maps of D to D, queries times keys, weights times values."""
    inner = width if inner is None else inner
    return 4 * queries * width * width + 4 * keys * inner * width + 4 * queries * keys * width


def ffn(tokens, width, inner):
    return 2 * 2 * tokens * width * inner


def test_vision_transformer_has_its_closed_form():
    rows, _ = counted('epalm/epalm_opt-2.7b_vit-b_vqav2', text=20)
    parts = rows['encoder']['parts']
    tokens, width = 197, 768
    assert parts['encoder / self_attn'] == 12 * attention(tokens, tokens, width)
    assert parts['encoder / ffn'] == 12 * ffn(tokens, width, 3072)
    assert parts['encoder / patch_embed'] == 2 * 196 * width * 3 * 16 * 16
    # 17.6 GMACs, as vision transformers of this size are known by.
    assert rows['encoder']['flops'] / 2e9 == pytest.approx(17.56, abs=0.01)


def test_language_model_and_a_step_with_its_cache_have_theirs():
    rows, found = counted('epalm/epalm_opt-2.7b_vit-b_vqav2', text=20)
    width, depth, words = 2560, 32, 50272
    for key, lead in (('parts', 11), ('base_parts', 0)):  # the slot and ten rows of prompt
        prompt, step = rows['prompt and first token'][key], rows['a further token'][key]
        tokens = lead + 20
        assert prompt['lm / ffn'] == depth * ffn(tokens, width, 4 * width)
        assert prompt['lm / self_attn'] == depth * attention(tokens, tokens, width)
        assert prompt['model / output embeddings'] == step['model / output embeddings'] == 2 * width * words
        # One query meets all keys; only its own key and value are computed.
        assert step['lm / self_attn'] == depth * (8 * width**2 + 4 * (tokens + 1) * width)
        assert step['lm / ffn'] == depth * ffn(1, width, 4 * width)
    assert found['training_all'] is None  # without eP-ALM nothing leads from the encoder to the language model


def test_methods_add_what_their_formulas_say():
    rows, _ = counted('uniadapter/blip_msrvtt', text=20)
    down_up = 2 * 2 * 768 * 128
    assert _added(rows['clip features']) == 12 * 8 * 197 * down_up
    assert _added(rows['text features']) == 12 * 20 * down_up
    lora, _ = counted('vlm/lora_llava-1.5-7b_vqav2', text=20)
    ends = 4 * (4096 + 4096) + 3 * (4096 + 11008)
    tokens = 576 + 20
    assert _added(lora['prompt and first token']) == 32 * 2 * tokens * 16 * ends
    assert _added(lora['pictures']) == 0
    assert _added(lora['a further token']) == 32 * 2 * 16 * ends


def _added(row):
    return row['flops'] - row['base_flops']


@pytest.mark.parametrize('config, ratio', [('uniadapter/blip_msrvtt', 5.7), ('uniadapter/blip_coco', 3.1)])
def test_reusing_keys_and_values_saves_what_the_design_says(config, ratio):
    rows, _ = counted(config, text=35)
    match, project = (rows[f're-ranking: {part}']['flops'] for part in ('matching', 'keys and values'))
    assert (match + project) / match == pytest.approx(ratio, abs=0.1)


def test_training_all_weights_costs_twice_the_forward_pass_more():
    _, found = counted('vl_pet/vlpet-large_bart-base_image', text=20, answer=10, task='vqa')
    every, own = found['training_all'], found['training']
    # Each map has a gradient of its input and one of its weights; of what enters the model only the second.
    projector = found['inference'][0]['parts']['visual_embedding / head']
    assert every['backward'] == pytest.approx(2 * every['forward'] - projector, rel=1e-5)
    # With frozen weights there is the gradient of inputs, and of the few trained weights.
    assert own['forward'] < own['backward'] < 1.2 * own['forward']


def test_recomputing_is_part_of_the_backward_pass():
    _, found = counted('vlm/lora_llava-1.5-7b_vqav2', text=20)
    lm = found['inference'][1]['flops']
    assert found['recomputed'] == ['lm']
    # Once more forward, once backward; the last map of a block need not run again.
    assert 1.9 * lm < found['training']['backward'] < 2.2 * lm


def test_counts_are_those_of_torch_on_a_real_pass():
    model = build_retriever(torch.float32).eval()
    clips = torch.zeros(1, 3, 3, *_sides(model))
    # It does not see the fused attention of CPUs.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as expected:
        model.encode_vision(clips)
    init_default_scope('vlpeft')
    with torch.device('meta'):
        shapes = build_retriever(torch.float32).to('meta')
    rows = inference(shapes, Sizes(frames=3, text=5))
    assert rows[0]['flops'] == expected.get_total_flops() > 0


def _sides(model):
    size = model.vision.img_size
    return (size, size) if isinstance(size, int) else tuple(size)


def test_operations_count_for_the_innermost_label():
    inner, outer = nn.Linear(8, 4, device='meta'), nn.Sequential(nn.Linear(8, 8, device='meta'))
    outer.append(inner)
    counter = FlopCounter()
    with counter.labelled({outer: ('a', 'outer'), inner: ('a', 'inner')}), counter:
        outer(torch.zeros(3, 8, device='meta'))
        torch.zeros(2, 5, device='meta') @ torch.zeros(5, 7, device='meta')
    assert counter.flops == {
        ('a', 'outer'): 2 * 3 * 8 * 8,
        ('a', 'inner'): 2 * 3 * 8 * 4,
        ('model', 'other'): 2 * 2 * 5 * 7,
    }
    assert math.prod(counter.flops.values()) > 0 and not outer._forward_hooks and not outer._forward_pre_hooks


@pytest.mark.parametrize(
    'config, sizes, said',
    [
        ('uniadapter/blip_msrvtt', dict(answer=3), 'does not depend on answer=3, but on frames, text, batch'),
        ('uniadapter/blip_msrvtt', dict(text=36), r'texts of 36 tokens are cut to 35 \(model.max_text_length=35\)'),
        ('vlm/lora_llava-1.5-7b_vqav2', dict(picture_tokens=7), 'has 576 tokens here, whatever its size'),
        ('vlm/siglip2-b_lora_msrvtt', dict(text=20), 'have 64 tokens, whatever they say'),
        ('vl_pet/vlpet-large_bart-base_image', dict(task='ocr'), "no task 'ocr'; there are vqa, "),
        ('vl_pet/vlpet-large_bart-base_image', dict(images=3), '3 images: the model tells at most 2 apart'),
        ('vl_pet/vlpet-large_bart-base_image', dict(text=2000), 'longer than the 102. positions'),
    ],
)
def test_sizes_that_a_model_cannot_have_are_refused(config, sizes, said):
    with pytest.raises(FlopError, match=said):
        counted(config, **sizes)
