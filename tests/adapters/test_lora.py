"""LoRA equals the same model with changed weights."""

import numpy as np
import pytest
import torch

import vlpeft
from tests.adapters.test_uniadapter import multimodal_pass
from tests.tiny import WIDTH, build_retriever, randomise, retriever_config, write_blip_bases
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.trained import load_trained
from vlpeft.models import count_parameters
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS


@pytest.mark.parametrize(
    'targets',
    [
        dict(),
        dict(kinds=['self_attn'], linears=['q', 'v']),
        dict(towers=['vision'], linears=['k', 'fc1']),
        dict(towers=['text'], kinds=['cross_attn'], linears=['k', 'v', 'o']),
    ],
)
def test_lora_equals_the_merged_weights(targets):
    model = build_retriever(adapter=dict(type='LoRA', rank=3, alpha=6, targets=targets))
    adapted = multimodal_pass(model)
    adapter = model.adapter
    with torch.no_grad(), model.switch.use(None):
        for tower, depth, sublayer, role, site in adapter.targets.linears(model.towers, 'LoRA'):
            unit = adapter.layers[f'{tower.name}_{depth}_{sublayer.kind}_{role}']
            weight = tower.module.get_submodule(site.path).weight
            rows = slice(None) if site.span is None else slice(*site.span)
            weight[rows] += 2 * unit.up.weight @ unit.down.weight
        torch.testing.assert_close(multimodal_pass(model), adapted, rtol=1e-8, atol=1e-10)


def test_lora_starts_at_the_base_and_counts_by_tower():
    config = retriever_config(adapter=dict(type='LoRA', rank=3, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
    model = MODELS.build(config).double()
    model.eval()
    adapted = multimodal_pass(model)
    with model.switch.use(None):
        assert torch.equal(multimodal_pass(model), adapted)
    counts = count_parameters(model)
    assert counts['by_role']['adapter'] == 2 * 2 * 2 * 3 * 2 * WIDTH
    bare = count_parameters(build_retriever())['by_tower']
    for tower in ('vision', 'text'):
        assert counts['by_tower'][tower] - bare[tower] == 384


def test_pissa_starts_from_the_largest_singular_values_of_the_frozen_weights():
    """At the base, to the last bit, with s · B₀ A₀ the nearest matrix of rank r (Eckart and Young)."""
    subject = SUBJECTS['gpt2']
    model = subject.model()
    bare = subject.run(model.requires_grad_(False))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    adapter = vlpeft.attach(model, dict(type='LoRA', rank=3, alpha=6, init='pissa', targets=dict(linears=['v', 'fc1'])))
    assert torch.equal(subject.run(adapter), bare)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for depth, block in enumerate(model.transformer.h):
        for key, weight in (('self_attn_v', block.attn.c_attn.weight.T[32:48]), ('ffn_fc1', block.mlp.c_fc.weight.T)):
            unit = adapter.sets['default'].layers[f'lm_{depth}_{key}']
            u, values, v = np.linalg.svd(weight.numpy())
            nearest = (u[:, :3] * values[:3]) @ v[:3]
            np.testing.assert_allclose(2 * (unit.up.weight @ unit.down.weight).detach().numpy(), nearest, atol=1e-12)
            np.testing.assert_allclose(
                unit.down.weight.detach().norm(dim=1).numpy(), np.sqrt(values[:3] / 2), rtol=1e-10
            )
    counts = adapter.counts()
    # Of the sets, A and B train; as many numbers stand beside them.
    sizes = 2 * (3 * (16 + 16) + 3 * (16 + 64))
    assert counts['trainable'] == sizes and counts['by_role']['adapter'] == 2 * sizes


def test_pissa_of_a_task_model_starts_from_its_base_and_goes_on_from_a_checkpoint(tmp_path):
    write_blip_bases(tmp_path)
    adapter = dict(type='LoRA', rank=2, init='pissa', targets=dict(linears=['o']))
    base = dict(source=str(tmp_path / 'Retriever.pth'))
    config = retriever_config(adapter=adapter, base_checkpoint=base)
    model = MODELS.build(config)
    unit = model.adapter.layers['text_1_cross_attn_o']
    weight = torch.load(base['source'])['state_dict']['text.encoder.layer.1.crossattention.output.dense.weight']
    u, values, v = torch.linalg.svd(weight)
    torch.testing.assert_close(unit.first_up.weight @ unit.first_down.weight, (u[:, :2] * values[:2]) @ v[:2])
    assert not unit.first_up.weight.requires_grad and 'adapter.layers.text_1_cross_attn_o.up.weight' in model.declared
    # A checkpoint holds where it started.
    trained = randomise(MODELS.build(config), seed=3)
    state = {key: value for key, value in trained.state_dict().items() if key not in trained.frozen_keys()}
    assert 'adapter.layers.text_1_cross_attn_o.first_up.weight' in state
    torch.save(dict(state_dict=state, meta=dict(base=trained.base, method=trained.method)), tmp_path / 'task.pth')
    again = MODELS.build(config)
    load_trained(again, Checkpoint.read(tmp_path / 'task.pth'))
    for name, value in trained.adapter.state_dict().items():
        assert torch.equal(again.adapter.state_dict()[name], value), name


@pytest.mark.parametrize('method', [dict(type='DoRA', rank=2), dict(type='LoRA', rank=2, init='pissa')])
def test_training_that_starts_from_a_file_of_the_base_starts_the_method_there(method, tmp_path):
    """As with ``base_checkpoint``, momentum copies too; weights before it was read are of no model."""
    write_blip_bases(tmp_path)
    base, adapter = tmp_path / 'Retriever.pth', dict(method, targets=dict(linears=['o']))
    expected = MODELS.build(retriever_config(adapter=adapter, base_checkpoint=dict(source=str(base))))
    found = MODELS.build(retriever_config(adapter=adapter))
    load_trained(found, Checkpoint.read(base), start=True)
    drawn = dict(DoRA=('down', 'up'), LoRA=())[method['type']]
    for name, value in expected.state_dict().items():
        if not any(f'.{part}.weight' in name for part in drawn) and not name.startswith('queue.'):
            torch.testing.assert_close(found.state_dict()[name], value, msg=name)


def test_a_method_on_meta_starts_from_nothing():
    with torch.device('meta'):
        model = MODELS.build(retriever_config(adapter=dict(type='LoRA', rank=2, init='pissa', targets={})))
    assert all(param.is_meta for param in model.parameters())


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(scaling='rs'), "LoRA: scaling='rs'; choose from"),
        (dict(scaling='rslora'), "LoRA: scaling='rslora' is α / √r; it needs an alpha"),
        (dict(init='svd'), "LoRA: init='svd'; choose from"),
        (dict(bias=True), 'LoRA: bias=True; it is a text'),
        (dict(rank=0), 'rank=0; it is an integer of at least 1'),
        (dict(alpha=0), 'alpha=0; it is a number above 0'),
        (dict(alpha=-1.0), 'alpha=-1.0; it is a number above 0'),
        (dict(alpha=float('nan')), 'alpha=nan'),
        (dict(alpha='8'), "alpha='8'"),
        (dict(rank=17, init='pissa'), r"rank=17 with init='pissa'; .*q_proj \(16 x 16\) has 16 singular values"),
    ],
)
def test_options_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        vlpeft.attach(SUBJECTS['opt'].model(), dict(type='LoRA', targets=dict(linears=['q']), **options))


@pytest.mark.parametrize('method', [dict(type='LoRA', init='pissa'), dict(type='DoRA')])
def test_methods_that_read_weights_refuse_quantised_maps(method):
    model = SUBJECTS['opt'].model(torch.float32)
    quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    with pytest.raises(SiteError, match='is a quantised map, whose weight cannot be read'):
        vlpeft.attach(quantised, dict(method, rank=2, targets=dict(linears=['q'])))
    assert not vlpeft.sites.attached_to(quantised)


def test_biases_are_offsets_that_sets_switch():
    subject = SUBJECTS['bart']
    model = subject.model()
    bias = model.model.encoder.layers[0].self_attn.q_proj.bias
    before = bias.detach().clone()
    adapter = vlpeft.attach(model, dict(type='LoRA', rank=2, bias='adapted', targets=dict(linears=['q'])))
    with torch.no_grad():
        for unit in adapter.sets['default'].biases.layers.values():
            unit.offset.fill_(0.5)
    changed = subject.run(adapter)
    assert torch.equal(bias, before) and not bias.requires_grad
    assert adapter.counts()['trainable_by_role'] == dict(adapter=6 * 2 * 2 * 16, bias=6 * 16)
    with adapter.use(None):
        assert not torch.allclose(subject.run(adapter), changed)
    adapter.merge()
    torch.testing.assert_close(bias, before + 0.5)
    torch.testing.assert_close(subject.run(adapter), changed)


def test_all_biases_of_the_chosen_towers():
    """Of linear maps and norms, as offsets: beside LoRA what BitFit learns alone."""
    subject = SUBJECTS['bart']
    lora = dict(type='LoRA', rank=2, bias='all', targets=dict(towers=['decoder'], linears=['q']))
    adapter = vlpeft.attach(subject.model(), lora)
    bitfit = vlpeft.attach(subject.model(), dict(type='BitFit', targets=dict(towers=['decoder'])))
    assert adapter.counts()['trainable_by_role'] == dict(adapter=4 * 2 * 2 * 16, bias=bitfit.counts()['trainable'])
    # Two layers of 8 maps of an attention, 2 of the FFN and 3 norms, and the norm of the embeddings.
    assert bitfit.counts()['trainable'] == 2 * (8 * 16 + 24 + 16 + 3 * 16) + 16
    randomise(adapter.sets, seed=1)
    bitfit.sets['default'].load_state_dict(adapter.sets['default'].biases.state_dict())
    with torch.no_grad():
        for unit in adapter.sets['default'].layers.values():
            unit.up.weight.zero_()
    torch.testing.assert_close(subject.run(adapter), subject.run(bitfit), rtol=1e-12, atol=1e-12)
