"""The declaration of what trains beside a method: words, places, exclusions and roles."""

import json

import pytest
import torch
from transformers import (
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    T5ForConditionalGeneration,
)

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from tests.tiny_epalm import build_perceptual
from tests.tiny_vl import build_vl
from vlpeft.models.parameters import count_parameters
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

LORA = dict(type='LoRA', rank=2, targets={})


def declared(name, trainable, adapter=None):
    """Names of the parameters of a model that train, and the handle."""
    model = SUBJECTS[name].model()
    handle = vlpeft.attach(model, adapter, trainable=trainable)
    return {name for name, param in model.named_parameters() if param.requires_grad}, handle


def names_of(name):
    return [key for key, _ in SUBJECTS[name].model().named_parameters()]


@pytest.mark.parametrize('name', ['bart', 'opt', 'gpt2', 'clip', 'vit', 'beit', 'blip_text', 'siglip'])
def test_biases_are_the_parameters_called_so(name):
    found, _ = declared(name, 'biases')
    # Tables of relative positions and of nothing else are called after a bias and are none.
    expected = {key for key in names_of(name) if 'bias' in key and 'table' not in key}
    assert found == expected and found


def test_the_release_of_bitfit_trains_what_has_bias_in_its_name():
    """On T5, whose linear maps have none, these are the tables of relative positions."""
    found, handle = declared('t5', [dict(parts='position_biases')])
    assert found == {key for key in names_of('t5') if 'bias' in key} and len(found) == 2
    # Two towers, 8 buckets, 4 heads.
    assert handle.counts()['trainable_by_role'] == dict(position_bias=2 * 8 * 4)
    with pytest.raises(SiteError, match="trainable: parts='biases' selects no parameter of the model"):
        declared('t5', 'biases')
    both, _ = declared('beit', [dict(parts=['biases', 'position_biases'])])
    assert both == {key for key in names_of('beit') if 'bias' in key} and any('table' in key for key in both)


def test_towers_kinds_depths_and_maps():
    prefix = 'model.decoder.layers.1'
    cases = [
        (dict(towers=['encoder']), {k for k in names_of('bart') if k.startswith('model.encoder.') and 'bias' in k}),
        (
            dict(towers=['decoder'], kinds=['cross_attn'], depths=[-1]),
            {f'{prefix}.encoder_attn.{x}_proj.bias' for x in ('q', 'k', 'v', 'out')}
            | {f'{prefix}.encoder_attn_layer_norm.bias'},
        ),
        (
            dict(towers=['decoder'], kinds=['ffn'], depths=[1]),
            {f'{prefix}.{x}.bias' for x in ('fc1', 'fc2', 'final_layer_norm')},
        ),
        # Those that suffice, by BitFit's paper: of the queries and of the FFN's first map.
        (
            dict(towers=['encoder'], linears=['q', 'fc1'], depths=[0]),
            {'model.encoder.layers.0.self_attn.q_proj.bias', 'model.encoder.layers.0.fc1.bias'},
        ),
    ]
    for places, expected in cases:
        found, _ = declared('bart', [dict(parts='biases', **places)])
        assert found == expected, places


@pytest.mark.parametrize(
    'name, kind, inside',
    [
        ('t5', 'ffn', 'layer.1.layer_norm'),
        ('opt', 'ffn', '.final_layer_norm'),
        ('opt_post_norm', 'self_attn', '.self_attn_layer_norm'),
        ('gpt2', 'ffn', '.ln_2'),
        ('vit', 'self_attn', '.ln1'),
        ('llama', 'self_attn', '.input_layernorm'),
        ('blip_text', 'ffn', '.output.LayerNorm'),
    ],
)
def test_norms_of_a_kind_are_those_of_its_branch(name, kind, inside):
    tower = next(iter(vlpeft.find_towers(SUBJECTS[name].model())))
    found, _ = declared(name, [dict(parts='norms', towers=[tower], kinds=[kind])])
    kept = {key.rpartition('.')[0] for key in found}
    assert len(kept) == 2 and all(inside in key for key in kept), kept


def test_norms_are_those_of_the_towers_and_linear_maps_have_none():
    found, handle = declared('bart', [dict(parts='norms')])
    assert {key for key in names_of('bart') if 'norm' in key} == found
    assert handle.counts()['trainable_by_role'] == dict(layer_norm=sum(2 * 16 for _ in found) // 2)
    with pytest.raises(SiteError, match=r"parts='norms', linears=\['q'\] selects no parameter"):
        declared('bart', [dict(parts='norms', linears=['q'])])
    with pytest.raises(SiteError, match='q of tower "lm" is a part of .*c_attn, which trains as a whole'):
        declared('gpt2', [dict(parts='biases', linears=['q'])])


def test_full_but_embeddings():
    found, handle = declared('bart', [dict(parts='all', but=['embeddings'])])
    tables = {key for key in names_of('bart') if 'shared' in key or 'embed_positions' in key}
    assert found == set(names_of('bart')) - tables and len(tables) == 3
    assert handle.counts()['trainable_by_role'].keys() == {'backbone'}
    # A head that is one tensor with the words is no other than they; one that is not trains.
    assert declared('opt', [dict(parts='all', but=['embeddings'])])[0] == {
        key for key in names_of('opt') if 'embed_tokens' not in key and 'embed_positions' not in key
    }
    for name, rows in (('vit', {'cls_token', 'pos_embed'}), ('timesformer', {'cls_token', 'pos_embed', 'time_embed'})):
        assert declared(name, 'embeddings')[0] == rows
    # Relative positions are biases of scores.
    assert not any('relative' in key for key in declared('t5', 'embeddings')[0])


def test_full_but_a_tower_and_its_norms():
    but = ['model.decoder', dict(parts='norms', towers=['encoder'])]
    found, _ = declared('bart', [dict(parts='all', towers=['encoder', 'decoder'], but=but)])
    assert found == {key for key in names_of('bart') if key.startswith('model.encoder.') and 'norm' not in key}


def test_heads_are_what_lies_outside_of_the_towers():
    config = SUBJECTS['bart'].model().config
    model = BartForSequenceClassification(config)
    handle = vlpeft.attach(model, LORA, trainable='heads')
    assert {key.split('.')[0] for key in handle.part_roles} == {'classification_head'}
    assert handle.counts()['trainable_by_role'].keys() == {'adapter', 'head'}
    assert declared('clip', 'heads')[0] == {'logit_scale'}
    # In a tower that is the whole model, the output embedding, where it is no other than the words'.
    assert declared('llama', 'heads')[0] == {'lm_head.weight'}
    for tied in ('bart', 'opt', 'gpt2'):
        with pytest.raises(SiteError, match="parts='heads' selects no parameter"):
            declared(tied, 'heads')


def test_connectors_lead_out_of_a_tower():
    both = {'visual_projection.weight', 'text_projection.weight'}
    assert declared('clip', 'connectors')[0] == both
    for trainable in (
        [dict(parts='connectors', towers=['vision'])],
        [dict(parts='all', towers=['vision'], kinds=['connector'])],
    ):
        found, handle = declared('clip', trainable)
        assert found == {'visual_projection.weight'}
    assert declared('clip', [dict(parts='connectors', role='projection')])[1].counts()['trainable_by_role'] == dict(
        projection=2 * 16 * 512
    )
    inner, _ = declared('clip', [dict(parts='all', towers=['vision'])])
    assert inner == {key for key in names_of('clip') if key.startswith('vision_model.')}
    with pytest.raises(SiteError, match="parts='connectors' selects no parameter"):
        declared('bart', 'connectors')


def test_one_role_each_that_of_the_first():
    trainable = [dict(parts='norms', role='scales'), 'biases', dict(parts='model.shared', role='words'), 'all']
    _, handle = declared('bart', trainable)
    roles = handle.counts()['trainable_by_role']
    sizes = {key: param.numel() for key, param in handle.model.named_parameters()}
    norms = sum(size for key, size in sizes.items() if 'norm' in key)
    biases = sum(size for key, size in sizes.items() if 'bias' in key and 'norm' not in key)
    words = sizes['model.shared.weight']
    assert roles == dict(scales=norms, bias=biases, words=words, backbone=sum(sizes.values()) - norms - biases - words)
    assert sum(roles.values()) == handle.counts()['total']


@pytest.mark.parametrize(
    'trainable, message',
    [
        ('bias', 'is one text; .* or one of the words all, heads, connectors, norms'),
        (['biasses'], "names 'biasses', which holds no parameter of the model; did you mean biases"),
        ([dict(parts='norm')], 'did you mean norms'),
        ([dict(part='norms')], 'names no parts; write a path, or dict'),
        ([dict(parts='norms', tower=['encoder'])], r"unknown keys \['tower'\]; there are parts, towers, kinds"),
        ([dict(parts='norms', towers=['text'])], r"unknown towers \['text'\]; there are \['encoder', 'decoder'\]"),
        ([dict(parts='norms', towers='encoder')], r"towers='encoder' is no list"),
        ([dict(parts='norms', kinds=['mlp'])], r"unknown kinds \['mlp'\]; there are \['self_attn'"),
        ([dict(parts='norms', depths=[7])], r'unknown depths of tower "encoder" \[7\]; there are \[0, 1\]'),
        ([dict(parts=[])], r'parts=\[\] is no path or word'),
        ([dict(parts='norms', role=3)], 'role=3 is no text'),
        ([dict(parts='lm_head', towers=['encoder'], kinds=['ffn'])], "parts='lm_head', .* selects no parameter"),
        ([dict(parts='norms', but=['biases', 'norms'])], 'selects nothing: but takes everything away'),
        ([dict(parts='biases', but=['embeddings'])], 'takes nothing away from it'),
        ([dict(parts='biases', but='norm')], "but='norm' is one text"),
        (3, 'trainable=3 is no declaration'),
        (['position_biases'], "parts='position_biases' selects no parameter"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_model(trainable, message):
    model = SUBJECTS['bart'].model()
    with pytest.raises(SiteError, match=message):
        vlpeft.attach(model, None, trainable=trainable)
    assert all(param.requires_grad for param in model.parameters())
    vlpeft.attach(model, None, trainable='biases')


def test_norms_that_no_family_declares_are_named():
    model = BertForMaskedLM(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, vocab_size=40)
    )
    with pytest.raises(SiteError, match='no family|no tower'):
        vlpeft.attach(model, None, trainable='norms')


def test_without_a_method_the_handle_is_the_same(tmp_path):
    model = SUBJECTS['bart'].model()
    adapter = vlpeft.attach(model, None, trainable=[dict(parts='biases', towers=['encoder'])])
    assert "set 'default': no method, active" in repr(adapter) and adapter.never_hit() == []
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    frozen = {key: value.clone() for key, value in model.state_dict().items()}
    SUBJECTS['bart'].run(adapter).square().mean().backward()
    optimizer.step()
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, frozen[key])}
    assert moved <= set(adapter.part_roles) and len(moved) > 10
    adapter.save(tmp_path)
    assert json.loads((tmp_path / 'adapter_config.json').read_text())['method'] == []
    fresh = SUBJECTS['bart'].model()
    again = vlpeft.load_adapter(fresh, tmp_path)
    assert torch.equal(PLAIN['bart'].run(fresh), PLAIN['bart'].run(model))
    assert again.part_roles == adapter.part_roles
    again.add('lora', LORA)
    randomise(again.sets, seed=1)
    with again.use('lora'):
        assert not torch.allclose(PLAIN['bart'].run(fresh), PLAIN['bart'].run(model))
    again.detach()
    assert torch.equal(PLAIN['bart'].run(fresh), PLAIN['bart'].run(model))


def test_the_training_check_sees_parts_without_a_method():
    model = SUBJECTS['bart'].model()
    adapter = vlpeft.attach(model, [], trainable='biases')
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    ids = SUBJECTS['bart'].inputs(2)['input_ids']
    model.model.encoder(ids)[0].square().mean().backward()
    with pytest.warns(UserWarning, match=r'no gradient, such as parts\.model\.decoder'):
        optimizer.step()


@pytest.mark.parametrize('kind', [BartForConditionalGeneration, T5ForConditionalGeneration])
def test_gradients_of_parts_equal_those_of_the_whole_model(kind):
    """What trains in place has the gradient that it has where everything trains."""
    subject = SUBJECTS['bart' if kind is BartForConditionalGeneration else 't5']
    whole, model = subject.model(), subject.model()
    subject.run(whole).square().sum().backward()
    adapter = vlpeft.attach(model, None, trainable='norms')
    subject.run(adapter).square().sum().backward()
    for name, param in model.named_parameters():
        if name in adapter.part_roles:
            torch.testing.assert_close(param.grad, whole.get_parameter(name).grad, rtol=1e-8, atol=1e-10)
        else:
            assert param.grad is None


def test_task_models_have_the_same_grammar():
    """Heads are what the model declares; their parameters keep their roles, whatever names them."""
    model = build_vl('bart', trainable=['heads', dict(parts='biases', towers=['decoder'])])
    roles = {model.role_of(name) for name in model.declared}
    assert roles == {'visual_projector', 'bias'}
    assert {name for name in model.declared if name.startswith('lm.')} == {
        name for name, _ in model.named_parameters() if name.startswith('lm.model.decoder.') and 'bias' in name
    }
    full = build_vl('bart', trainable=[dict(parts='all', but=['embeddings'])])
    frozen = {name for name, _ in full.named_parameters()} - full.declared
    assert frozen == {
        'lm.model.shared.weight',
        'lm.model.encoder.embed_positions.weight',
        'lm.model.decoder.embed_positions.weight',
        'visual_embedding.image.weight',
    }
    assert full.method == 'all weights of a VLSeq2Seq' and full.trains_all and not model.trains_all
    counts = count_parameters(full)
    assert sum(counts['by_role'].values()) == counts['total']
    assert counts['trainable_by_role'].keys() == {'backbone', 'visual_projector'}


def test_heads_lie_in_no_tower():
    with pytest.raises(SiteError, match=r"parts='heads', towers=\['encoder'\] selects no parameter"):
        build_vl('bart', trainable=[dict(parts='heads', towers=['encoder'])])


def test_what_runs_without_gradient_is_refused():
    for trainable in (['heads', dict(parts='biases', towers=['encoder'])], ['heads', 'encoder']):
        with pytest.raises(SiteError, match="trainable names (tower )?'encoder', which runs without gradient"):
            build_perceptual(trainable=trainable)
    model = build_perceptual(trainable=['heads', 'biases'])
    assert {name.partition('.')[0] for name in model.declared} == {'lm', 'adapter'}
    assert not model.train().lm.training, 'a language model of which biases train has no dropout'
