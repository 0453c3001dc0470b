"""IA³ is the model with scaled rows and columns, and peft's."""

import warnings

import pytest
import torch
from peft import IA3Config, get_peft_model

import vlpeft
from tests.restated_operations import MAPS, OPERATIONS, WIDTH, Change, assert_restated, loss_of
from tests.tiny import randomise
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

DTYPES = [torch.float64, torch.float32]
IA3 = dict(type='IA3', targets={})
#: The hidden width of the tiny feed-forward networks; GPT-2's is four times its own.
HIDDEN = dict(bart=24, llama=24, gpt2=4 * WIDTH, vit=24)


def released(name):
    """Keys of the maps whose outputs are scaled, and of those whose inputs are."""
    outputs = [key for key in MAPS[name] if key.endswith(('attn_k', 'attn_v'))]
    return outputs, [key for key in MAPS[name] if key.endswith(('fc2', 'down'))]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', OPERATIONS)
def test_it_is_the_model_with_scaled_rows_and_columns(name, dtype):
    def changes(leaves):
        outputs, inputs = released(name)
        assert sorted(leaves) == sorted(f'{key}.scale' for key in (*outputs, *inputs))
        return {key: Change(scale=leaves[f'{key}.scale']) for key in outputs} | {
            key: Change(in_scale=leaves[f'{key}.scale']) for key in inputs
        }

    assert_restated(name, IA3, changes, dtype)


@pytest.mark.parametrize('name', OPERATIONS)
def test_it_starts_at_the_base_and_has_two_widths_and_the_hidden_one_for_each_block(name):
    subject = SUBJECTS[name]
    model = subject.model()
    bare = subject.run(model.requires_grad_(False))
    adapter = vlpeft.attach(model, IA3)
    assert torch.equal(subject.run(model), bare)
    outputs, inputs = released(name)
    # Two key and value heads of the four of Llama.
    keys = WIDTH // 2 if name == 'llama' else WIDTH
    assert adapter.counts()['trainable'] == len(outputs) * keys + len(inputs) * HIDDEN[name]


#: Maps as peft's users name them, those of feed-forward networks last, and what we call them.
THEIRS = dict(
    bart=(['k_proj', 'v_proj'], 'fc2', ['k', 'v', 'fc2']),
    llama=(['k_proj', 'v_proj'], 'down_proj', ['k', 'v', 'down']),
    gpt2=(['c_attn'], 'mlp.c_proj', ['q', 'k', 'v', 'fc2']),
    vit=(['qkv'], 'ffn.layers.1', ['q', 'k', 'v', 'fc2']),
)


@pytest.mark.parametrize('feedforward', [True, False])
@pytest.mark.parametrize('name', OPERATIONS)
def test_it_is_that_of_peft(name, feedforward):
    """Scales of the input, and with ``feedforward=()`` of the output of all maps; a fused projection has one vector."""
    attention, last, ours = THEIRS[name]
    subject = SUBJECTS[name]
    adapter = vlpeft.attach(
        subject.model(torch.float32),
        dict(type='IA3', targets=dict(linears=ours), **({} if feedforward else dict(feedforward=()))),
    )
    randomise(adapter.sets, std=0.2, seed=1)
    config = IA3Config(target_modules=[*attention, last], feedforward_modules=[last] if feedforward else [])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        theirs = get_peft_model(subject.model(torch.float32), config)
    base, method = theirs.get_base_model(), adapter.sets['default']
    pairs = []
    with torch.no_grad():
        for key in method.layers:
            path, rows, _ = OPERATIONS[name][key]
            scale = base.get_submodule(path).ia3_l['default']
            (scale if rows == slice(None) else scale[rows]).copy_(method.layers[key].scale.view_as(scale[rows]))
            pairs.append((method.layers[key].scale, scale, rows))
    expected, found = subject.run(theirs), subject.run(adapter)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    for output in (expected, found):
        loss_of(output).backward()
    for own, scale, rows in pairs:
        torch.testing.assert_close(own.grad, scale.grad[rows].flatten(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['gpt2', 'llama'])
@pytest.mark.parametrize('first', ['IA3', 'LoRA'])
def test_merged_with_lora_in_either_order(name, first):
    """LoRA at the same map reads the scaled input where IA³ comes first, and that before it where it comes second."""
    lora = dict(type='LoRA', rank=2, targets=dict(linears=['k', 'fc2']))
    subject = SUBJECTS[name]
    adapter = vlpeft.attach(subject.model(), [IA3, lora] if first == 'IA3' else [lora, IA3])
    randomise(adapter.sets, std=0.2, seed=1)
    expected = subject.run(adapter)
    before = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    adapter.merge()
    torch.testing.assert_close(subject.run(adapter), expected, rtol=1e-9, atol=1e-10)
    adapter.unmerge()
    assert all(torch.equal(adapter.model.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    'kinds, roles',
    [(['self_attn'], 'kv'), (['cross_attn'], 'kv'), (['ffn'], ['fc2']), (['ffn', 'self_attn'], ['fc2', 'k', 'v'])],
)
def test_kinds_have_the_maps_of_the_paper(kinds, roles):
    layers = vlpeft.attach(SUBJECTS['bart'].model(), dict(type='IA3', targets=dict(kinds=kinds))).sets['default'].layers
    assert {key.rpartition('_')[2] for key in layers} == set(roles)
    assert {key.split('_', 2)[2].rpartition('_')[0] for key in layers} == set(kinds)


def test_a_connector_has_scales_at_all_of_its_maps():
    config = dict(type='IA3', targets=dict(kinds=['connector']))
    adapter = vlpeft.attach(SUBJECTS['clip'].model(), config)
    assert sorted(adapter.sets['default'].layers) == ['text_connector_proj', 'vision_connector_proj']


def test_the_input_of_a_part_of_a_fused_projection_is_that_of_all():
    config = dict(type='IA3', targets=dict(linears=['q']), feedforward=('q',))
    with pytest.raises(SiteError, match=r'IA3: lm_0_self_attn_q is a part of .*c_attn of tower "lm", so its input is'):
        vlpeft.attach(SUBJECTS['gpt2'].model(), config)
