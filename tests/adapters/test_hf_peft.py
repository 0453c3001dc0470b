"""Layers of Hugging Face PEFT at our sites compute what the package's own model does, and train as there."""

import copy

import peft
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import vlpeft
from tests.tiny import build_retriever, random_batch, write_vocabulary
from vlpeft.adapters.hf_peft_options import SUPPORTED
from vlpeft.sites import SiteError, Targets
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise

OPTIONS = dict(
    LoraConfig=dict(r=2, lora_alpha=5, use_rslora=True),
    AdaLoraConfig=dict(init_r=3, target_r=1, lora_alpha=4, total_step=9),
    LoHaConfig=dict(r=2, alpha=3),
    LoKrConfig=dict(r=2, alpha=3),
    OFTConfig=dict(oft_block_size=4),
    BOFTConfig=dict(boft_block_size=4),
    VeraConfig=dict(r=2),
    IA3Config=dict(),
    FourierFTConfig=dict(n_frequency=10),
    HRAConfig=dict(r=2),
    C3AConfig=dict(block_size=4),
    GraloraConfig=dict(r=4, gralora_k=2),
    MissConfig=dict(r=2),
    RandLoraConfig=dict(r=2),
    RoadConfig=dict(group_size=4),
    VBLoRAConfig=dict(r=2, num_vectors=8, vector_length=4, topk=2),
)
LINEARS = dict(bart=['v', 'fc2'], gpt2=['o', 'fc2'])


def ours_and_theirs(kind, subject='bart', **more):
    """Our handle and the package's model on copies of one base with equal weights, and the names of theirs by ours."""
    model = SUBJECTS[subject].model()
    bare = copy.deepcopy(model)
    linears, options = LINEARS[subject], dict(OPTIONS[kind], **more)
    config = dict(type=kind, **options)
    adapter = vlpeft.attach(model, dict(type='HFPEFT', config=config, targets=dict(linears=linears)), check_after=0)
    places = {}
    for tower, depth, sublayer, role, site in Targets(linears=linears).linears(adapter.towers, 'test'):
        below = adapter.paths[tower.name]
        places[f'{tower.name}_{depth}_{sublayer.kind}_{role}'] = f'{below}.{site.path}' if below else site.path
    chosen = dict(target_modules=list(places.values()))
    if kind == 'IA3Config':
        chosen['feedforward_modules'] = [path for key, path in places.items() if key.endswith('fc2')]
    theirs = peft.get_peft_model(bare, getattr(peft, kind)(**options, **chosen)).double().eval()
    for name, param in theirs.named_parameters():
        # The package means them to be constant, but lets them train.
        param.requires_grad_(param.requires_grad and 'ranknum' not in name)
    method = adapter.sets['default']
    for name, param in method.named_parameters():
        if param.requires_grad:
            randomise(nn.ParameterDict({name.replace('.', '_'): param}), seed=len(name))
    named = {}
    their = {**dict(theirs.named_parameters()), **dict(theirs.named_buffers())}
    mine = {**dict(method.tuner.named_parameters()), **dict(method.tuner.named_buffers())}
    for name, value in mine.items():
        full = f'base_model.{name}'
        for key, path in places.items():
            full = full.replace(f'.{key}.', f'.{path}.')
        their[full].data.copy_(value.data)
        named[name] = full
    return adapter, theirs, named


def compare_gradients(adapter, theirs, named):
    found = dict(theirs.named_parameters())
    compared = 0
    for name, param in adapter.sets['default'].tuner.named_parameters():
        assert param.requires_grad == found[named[name]].requires_grad
        if param.requires_grad:
            assert param.grad.any()
            torch.testing.assert_close(param.grad, found[named[name]].grad, rtol=1e-8, atol=1e-9)
            compared += 1
    assert compared


def test_all_types_are_compared():
    assert set(OPTIONS) == set(SUPPORTED)


@pytest.mark.parametrize('kind', SUPPORTED)
def test_outputs_and_gradients_are_the_packages(kind):
    subject = SUBJECTS['bart']
    adapter, theirs, named = ours_and_theirs(kind)
    bare = subject.run(subject.model())
    found, expected = subject.run(adapter), subject.run(theirs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert not torch.allclose(found, bare)
    for value in (found, expected):
        value.square().sum().backward()
    compare_gradients(adapter, theirs, named)


@pytest.mark.parametrize('kind', ['LoraConfig', 'AdaLoraConfig', 'IA3Config'])
def test_transposed_maps_compute_the_same(kind):
    """Of those that the package knows."""
    subject = SUBJECTS['gpt2']
    adapter, theirs, named = ours_and_theirs(kind, 'gpt2')
    found, expected = subject.run(adapter), subject.run(theirs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    for value in (found, expected):
        value.square().sum().backward()
    compare_gradients(adapter, theirs, named)


@pytest.mark.parametrize('kind', SUPPORTED)
def test_no_type_starts_from_the_weights_of_the_base(kind):
    """They may be loaded later."""
    config = dict(type='HFPEFT', config=dict(type=kind, **OPTIONS[kind]), targets=dict(linears=['v', 'fc2']))
    states = []
    for seed in (0, 1):
        model = SUBJECTS['bart'].model(seed=seed)
        torch.manual_seed(0)
        states.append(vlpeft.attach(model, config, check_after=0).sets['default'].state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize(
    'kind', ['LoraConfig', 'AdaLoraConfig', 'LoHaConfig', 'LoKrConfig', 'VeraConfig', 'FourierFTConfig']
)
def test_additive_types_merge(kind):
    subject = SUBJECTS['bart']
    adapter, *_ = ours_and_theirs(kind)
    expected = subject.run(adapter)
    adapter.merge()
    torch.testing.assert_close(subject.run(adapter), expected, rtol=1e-9, atol=1e-10)


def test_what_cannot_be_merged_says_so():
    for kind in ('IA3Config', 'OFTConfig'):
        adapter, *_ = ours_and_theirs(kind)
        with pytest.raises(SiteError, match=f'{kind} cannot be merged here'):
            adapter.merge()
    config = dict(type='LoraConfig', r=2, lora_bias=True)
    method = dict(type='HFPEFT', config=config, targets=dict(linears=['v']))
    with pytest.raises(SiteError, match='LoraConfig cannot be merged here'):
        vlpeft.attach(SUBJECTS['bart'].model(), method, check_after=0).merge()


def test_a_method_before_it_in_a_list_is_kept():
    """Rotated inputs take nothing away from what LoRA has added to the output."""
    torch.manual_seed(0)
    targets = dict(linears=['o'], towers=['decoder'], kinds=['cross_attn'], depths=[1])
    rotation = dict(type='HFPEFT', config=dict(type='OFTConfig', oft_block_size=4), targets=targets)
    model = SUBJECTS['bart'].model()
    adapter = vlpeft.attach(model, [dict(type='LoRA', rank=2, targets=targets), rotation], check_after=0)
    lora, oft = adapter.methods('default')
    for method, seed in ((lora, 1), (oft, 2)):
        randomise(nn.ParameterDict({n.replace('.', '_'): p for n, p in method.named_parameters()}), seed=seed)
    seen = {}
    map_ = model.model.decoder.layers[1].encoder_attn.out_proj
    # Hooked last, it sees what the methods have made of the output.
    map_.register_forward_hook(lambda module, args, out: seen.update(x=args[0], y=out))
    SUBJECTS['bart'].run(adapter)
    (unit,) = lora.layers.values()
    change = seen['x'] @ unit.down.weight.T @ unit.up.weight.T
    layer = next(layer for layer in oft.tuner.model.modules() if hasattr(layer, 'oft_R'))
    rotated = layer.oft_R['default'](seen['x'])
    expected = F.linear(rotated, map_.weight, map_.bias) + change
    torch.testing.assert_close(seen['y'], expected, rtol=1e-9, atol=1e-10)
    assert not torch.allclose(rotated, seen['x']) and change.abs().max() > 0.01


def test_adalora_trains_and_allocates_as_in_the_package():
    subject = SUBJECTS['bart']
    # Of a task type the package adds the penalty to the loss.
    options = dict(tinit=2, tfinal=2, deltaT=1, total_step=8, task_type='SEQ_2_SEQ_LM')
    adapter, theirs, named = ours_and_theirs('AdaLoraConfig', **options)
    method = adapter.sets['default']
    optimizers = [
        torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01) for model in (adapter, theirs)
    ]
    labels = torch.randint(3, 40, (3, 3), generator=torch.Generator().manual_seed(0))
    for step in range(10):
        given = dict(subject.inputs(3), labels=labels)
        ours = adapter(**given).loss + adapter.penalty()
        loss = theirs(**given).loss
        torch.testing.assert_close(ours, loss, rtol=1e-7, atol=1e-8)
        for value, optimizer in zip((ours, loss), optimizers):
            value.backward()
            optimizer.step()
        theirs.base_model.update_and_allocate(step)
        for optimizer in optimizers:
            optimizer.zero_grad()
    found = dict(theirs.named_parameters())
    for name, param in method.tuner.named_parameters():
        torch.testing.assert_close(param, found[named[name]], rtol=1e-6, atol=1e-7)
    kept = sum(int((layer.lora_E['default'] != 0).sum()) for layer in method.allocation.layers())
    places = len(list(method.allocation.layers()))
    assert places <= kept < 3 * places
    assert method.state_dict()['allocation.steps'] == 10


def test_adalora_goes_on_in_its_schedule_after_loading(tmp_path):
    config = dict(type='AdaLoraConfig', init_r=3, target_r=1, tinit=1, tfinal=3, deltaT=1, total_step=8)
    subject, method = SUBJECTS['bart'], dict(type='HFPEFT', config=config, targets=dict(linears=['v']))
    adapter = vlpeft.attach(subject.model(), method, check_after=0)

    def train(handle, steps):
        optimizer = torch.optim.Adam([p for p in handle.parameters() if p.requires_grad], lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            subject.run(handle).square().mean().backward()
            optimizer.step()
        return [(layer.lora_E['default'] != 0).tolist() for layer in handle.sets['default'].allocation.layers()]

    chosen = train(adapter, 7)
    adapter.save(tmp_path)
    again = vlpeft.load_adapter(subject.model(), tmp_path, check_after=0)
    assert train(again, 2) == chosen
    assert again.sets['default'].allocation.steps == 9
    # A copy follows its own optimizer, and no other.
    twin = copy.deepcopy(again)
    train(twin, 1)
    assert [int(one.sets['default'].allocation.steps) for one in (again, twin)] == [9, 10]


def test_a_task_model_adds_the_penalty(tmp_path):
    words = write_vocabulary(tmp_path)
    config = dict(type='AdaLoraConfig', init_r=2, total_step=9)
    lists = [dict(type='HFPEFT', config=config, targets=dict(linears=['v']))] * 2
    for adapter, count in ((lists[0], 1), (lists, 2)):
        model = build_retriever(vocabulary=words, adapter=adapter)
        losses = model(*random_batch(), mode='loss')
        whole, logged = model.parse_losses(losses)
        torch.testing.assert_close(whole, sum(losses.values()) + logged['loss_penalty'])
        parts = [model.adapter] if count == 1 else list(model.adapter.parts)
        torch.testing.assert_close(logged['loss_penalty'], sum(part.allocation.penalty() for part in parts))
        whole.backward()
        counted = {name for name, _ in model.named_parameters() if 'ranknum' in name or 'base_layer' in name}
        assert counted == set()


@pytest.mark.parametrize(
    ('config', 'error', 'message'),
    [
        (dict(type='PrefixTuningConfig'), SiteError, "acts on no linear map; write type='PrefixTuning'"),
        (dict(type='PromptTuningConfig'), SiteError, "acts on no linear map; write type='PromptTuning'"),
        (dict(type='XLoraConfig'), SiteError, 'XLoraConfig does not act at linear maps alone; did you mean'),
        (dict(type='LoRa'), SiteError, 'LoRa is no config of the package peft'),
        (dict(), SiteError, 'None is no config of the package peft'),
        (dict(type='LoraConfig', rank=3), ValueError, "LoraConfig has no option 'rank'; there are .* r, "),
        (dict(type='LoraConfig', target_modules=['q']), SiteError, 'cannot stand here: targets names the sites'),
        (dict(type='LoraConfig', modules_to_save=['x']), SiteError, 'cannot stand here: trainable names parts'),
        (dict(type='LoraConfig', bias='all'), SiteError, 'cannot stand here: trainable names parts'),
        (dict(type='LoraConfig', use_dora=True), SiteError, 'cannot stand here: write type="DoRA"'),
        (dict(type='LoraConfig', rank_pattern={'q': 3}), SiteError, 'cannot stand here: write a list of HFPEFT'),
        (dict(type='LoraConfig', init_lora_weights='pissa'), SiteError, 'changes weights of the base'),
        (dict(type='LoraConfig', eva_config=dict(rho=2)), SiteError, 'cannot stand here: it needs the model of the'),
        (dict(type='LoraConfig', r=0), ValueError, 'HFPEFT: LoraConfig refuses: `r` should be a positive integer'),
        (
            dict(type='AdaLoraConfig'),
            ValueError,
            'HFPEFT: AdaLoraConfig refuses: AdaLoRA does not work when `total_step`',
        ),
    ],
)
def test_what_cannot_stand_is_refused(config, error, message):
    method = dict(type='HFPEFT', config=config, targets=dict(linears=['v']))
    with pytest.raises(error, match=message):
        vlpeft.attach(SUBJECTS['bart'].model(), method)


def test_a_quantised_map_is_refused():
    model = SUBJECTS['bart'].model()
    map_ = model.model.decoder.layers[0].fc1
    weight = map_.weight.detach()
    del map_.weight
    map_.register_buffer('weight', weight.to(torch.int8))
    method = dict(type='HFPEFT', config=dict(type='LoHaConfig', r=2), targets=dict(linears=['fc1']))
    with pytest.raises(SiteError, match='is a quantised map'):
        vlpeft.attach(model, method)
