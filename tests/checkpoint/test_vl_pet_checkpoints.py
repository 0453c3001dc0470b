"""VL-PET's released layout and transformers' own: names typed out from the layouts, values random."""

import pytest
import torch

from tests.slow_vl import SlowVL
from tests.tiny_epalm import build_perceptual
from tests.tiny_seq2seq import KeepDouble
from tests.tiny_vl import FEATURES, GRID, VOCAB, build_vl, random_samples, vl_config, write_tokenizer
from tools.model_converters import convert_checkpoint
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.coverage import random_parts
from vlpeft.checkpoint.dialects import detect, get_dialect
from vlpeft.checkpoint.identity import base_identity
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.trained import load_trained
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS
from vlpeft.testing.backbones import DEPTH, WIDTH

BOTTLENECK, GATE, VALUE, HEADS = 8, 4, 3, 4
WITH_NORMS = ['heads', dict(parts='norms', towers=['encoder'])]
GRANULARITIES = ('large', 'middle_x', 'middle_y', 'small')
TASKS = dict(vl_pet=('vqa', 'gqa', 'nlvr', 'caption'), vl_pet_video=('tvqa', 'how2qa', 'tvc', 'yc2c'))
ENCODER, DECODER = dict(bart='model.encoder', t5='encoder'), dict(bart='model.decoder', t5='decoder')
# Places of a layer's self-attention and FFN, and of its cross-attention.
LAYERS = dict(
    bart=('layers.{}', 'layers.{}', 'layers.{}.encoder_attn'),
    t5=('block.{}.layer.0', 'block.{}.layer.1', 'block.{}.layer.1.EncDecAttention'),
)
GATES = dict(
    large={'large_x_down': (GATE, WIDTH), 'large_x_up': (WIDTH, GATE)},
    middle_x={'middle_xy_add': (1, WIDTH)},
    small={'small_xy_cat': (1, 2 * WIDTH)},
    middle_y={},
)


def adapter_config(granularity):
    return dict(
        type='VLPET',
        granularity=granularity,
        bottleneck=BOTTLENECK,
        heads=HEADS,
        gate_bottleneck=GATE,
        value_bottleneck=VALUE,
        scale=0.7,
    )


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64) * 0.2


def released(family, granularity, tasks):
    """A released state dict, and the method's parameters in ours for the slow restatement."""
    lm = build_vl(family).lm
    state, ours = {f'module.{key}': value.detach() for key, value in lm.state_dict().items()}, {}
    table = state['module.model.shared.weight' if family == 'bart' else 'module.shared.weight']
    if family == 'bart':
        state['module.final_logits_bias'] = torch.zeros(1, len(table), dtype=torch.float64)

    def affine(theirs, mine, out, width):
        for leaf, shape in (('weight', (out, width)), ('bias', (out,))):
            state[f'module.{theirs}.{leaf}'] = ours[f'{mine}.{leaf}'] = draw(*shape)

    for i in range(DEPTH):
        attention, ffn, cross = (place.format(i) for place in LAYERS[family])
        for place, kind, name in ((attention, 'attn', 'self_attn'), (ffn, 'ff', 'ffn')):
            place, mine = f'{ENCODER[family]}.{place}', f'layers.encoder_{i}_{name}'
            parts = [(draw(BOTTLENECK // HEADS, WIDTH), draw(BOTTLENECK // HEADS)) for _ in range(HEADS)]
            for h, part in enumerate(parts):
                for leaf, value in zip(('weight', 'bias'), part):
                    state[f'module.{place}.{kind}_adapter_multihead_down.{h}.{leaf}'] = value
            for leaf, values in zip(('weight', 'bias'), zip(*parts)):
                ours[f'{mine}.bottleneck.down.{leaf}'] = torch.cat(values)
            affine(f'{place}.{kind}_adapter_multihead_up', f'{mine}.bottleneck.up', WIDTH, BOTTLENECK)
            gate = f'{place}.encoder_{kind}_adapter_gating'
            for theirs, shape in GATES[granularity].items():
                leaf = f'bottleneck.{theirs[8:]}' if granularity == 'large' else 'linear'
                affine(f'{gate}_{theirs}', f'{mine}.gate.{leaf}', *shape)
            if granularity == 'middle_y':
                state[f'module.{gate}_middle_ia3_add'] = ours[f'{mine}.gate.z'] = draw(WIDTH)
        for side, shape in (('down', (VALUE, WIDTH)), ('up', (WIDTH, VALUE))):
            for leaf, value in (('weight', draw(*shape)), ('bias', draw(shape[0]))):
                ours[f'values.decoder_{i}_cross_attn_v.{side}.{leaf}'] = value
                for task in tasks:
                    state[
                        f'module.{DECODER[family]}.{cross}.attn_value_parallel_adapter.adapters.{task}.'
                        f'{side}_sampler.{leaf}'
                    ] = value
    visual = f'module.{ENCODER[family]}.visual_embedding'
    for name, width in (('feat_embedding', FEATURES), ('absolute_vis_pos_embedding', 5)):
        state[f'{visual}.{name}.0.weight'], state[f'{visual}.{name}.0.bias'] = draw(WIDTH, width), draw(WIDTH)
        state[f'{visual}.{name}.1.weight'] = 1 + draw(WIDTH)
        if family == 'bart':
            state[f'{visual}.{name}.1.bias'] = draw(WIDTH)
    state[f'{visual}.img_order_embedding.weight'] = draw(2, WIDTH)
    state[f'{visual}.obj_order_embedding.weight'] = table
    return state, ours


@pytest.fixture(scope='module')
def vocabularies(tmp_path_factory):
    return {family: write_tokenizer(tmp_path_factory.mktemp(family), family) for family in ('bart', 't5')}


@pytest.mark.parametrize('dialect', TASKS)
@pytest.mark.parametrize('granularity', GRANULARITIES)
@pytest.mark.parametrize('family', ['bart', 't5'])
def test_released_checkpoints_load_compute_and_are_saved_back(vocabularies, family, granularity, dialect):
    state, ours = released(family, granularity, TASKS[dialect])
    assert detect(state).name == dialect
    model = build_vl(family, vocabularies[family], adapter=adapter_config(granularity), trainable=WITH_NORMS)
    report = load_trained(model, Checkpoint.of(state, 'released.pth'))
    assert not report.missing and not report.unexpected and not random_parts(model)
    # Not the dialect's reading, but the released names themselves make the slow model.
    encoder = f'{ENCODER[family]}.visual_embedding.'
    rename = dict(feat_embedding='feature', absolute_vis_pos_embedding='position', img_order_embedding='image')
    plain = {key.removeprefix('module.'): value for key, value in state.items()}
    visual = {}
    for key, value in plain.items():
        name, _, rest = key.removeprefix(encoder).partition('.')
        if key.startswith(encoder) and name in rename:
            visual[f'{rename[name]}.{rest}'] = value
    leaves = [value.requires_grad_() for value in (*ours.values(), *visual.values())]
    slow = SlowVL(plain, visual, ours, model.lm.config, model.tokenizer, GRID, adapter_config(granularity))
    features, samples = random_samples()
    expected = slow.loss(features, samples, 'sample')
    with KeepDouble():
        found = model(features, samples, mode='loss')['loss_vqa']
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    parts = {f'adapter.{key}': value for key, value in ours.items()}
    parts.update({f'visual_embedding.{key}': value for key, value in visual.items()})
    grads = torch.autograd.grad(found, [model.get_parameter(name) for name in parts], allow_unused=True)
    for name, grad, slow_grad in zip(parts, grads, torch.autograd.grad(expected, leaves, allow_unused=True)):
        if slow_grad is not None:
            torch.testing.assert_close(grad, slow_grad, rtol=1e-8, atol=1e-8 * float(slow_grad.abs().max()), msg=name)
    saved = get_dialect(dialect).from_vlpeft(model.state_dict())
    assert set(saved) == set(state)
    assert all(torch.equal(saved[key], value) for key, value in state.items())


@pytest.mark.parametrize('trainable', [WITH_NORMS, 'heads'])
@pytest.mark.parametrize('family', ['bart', 't5'])
def test_the_trained_part_alone_comes_back(family, trainable):
    model = build_vl(family, adapter=adapter_config('small'), trainable=trainable)
    trained = {name: param.detach() for name, param in model.named_parameters() if name in model.declared}
    file = get_dialect('vl_pet').of_model(model).from_vlpeft(trained)
    assert not any('embed_tokens' in key or 'fc1' in key for key in file)
    # The names of the release, typed out above, and no other family's.
    names = set(released(family, 'small', TASKS['vl_pet'])[0])
    assert set(file) <= names and f'module.{ENCODER[family]}.visual_embedding.feat_embedding.0.weight' in file
    other = build_vl(family, adapter=adapter_config('small'), trainable=trainable, seed=1)
    report = load_into(other, Checkpoint.of(file))
    assert set(report.loaded) == model.declared and not report.unexpected
    assert all(torch.equal(other.get_parameter(name), value) for name, value in trained.items())


def test_the_family_is_that_of_the_model_and_never_guessed():
    model = build_vl('bart', adapter=adapter_config('large'))
    trained = {name: param.detach() for name, param in model.named_parameters() if name in model.declared}
    with pytest.raises(CheckpointError, match='do not tell which it is: call of_model'):
        get_dialect('vl_pet').from_vlpeft(trained)
    for other, name in ((torch.nn.Linear(1, 1), 'Linear'), (build_perceptual(), 'opt')):
        with pytest.raises(CheckpointError, match=f'vl_pet layout holds models of bart and t5, not of {name}'):
            get_dialect('vl_pet').of_model(other)


@pytest.mark.parametrize('lost', ['gate.linear.weight', 'bottleneck.up.weight'])
def test_a_gate_without_its_branch_is_an_error_that_names_it(lost):
    model = build_vl('t5', adapter=adapter_config('small'))
    trained = {name: param.detach() for name, param in model.named_parameters() if name in model.declared}
    key = next(name for name in trained if name.endswith(lost))
    del trained[key]
    with pytest.raises(CheckpointError, match=f'the state has no {key}'):
        get_dialect('vl_pet').of_model(model).from_vlpeft(trained)


@pytest.mark.parametrize('family', ['bart', 't5'])
def test_the_converter_writes_the_family_of_its_config(tmp_path, family):
    model = build_vl(family, adapter=adapter_config('large'))
    trained = {name: param.detach() for name, param in model.named_parameters() if name in model.declared}
    base = to_layout('transformers_seq2seq', dict(model.named_parameters()), model).content
    torch.save({key: value.detach() for key, value in base.items()}, tmp_path / 'base.bin')
    config = vl_config(family, adapter=adapter_config('large'))
    (tmp_path / 'cfg.py').write_text(f'model = {config!r}\n')
    torch.save(dict(state_dict=trained, meta=dict(base=base_identity(tmp_path / 'base.bin'))), tmp_path / 'epoch.pth')
    command = [
        str(tmp_path / 'epoch.pth'),
        str(tmp_path / 'out.pth'),
        '--config',
        str(tmp_path / 'cfg.py'),
        '--to',
        'vl_pet',
        '--base',
        str(tmp_path / 'base.bin'),
    ]
    assert convert_checkpoint.main(command) == 0
    assert set(torch.load(tmp_path / 'out.pth')) == set(released(family, 'large', TASKS['vl_pet'])[0])


def test_disagreeing_tasks_missing_heads_and_odd_widths_are_errors():
    state, _ = released('bart', 'large', TASKS['vl_pet'])
    key = next(key for key in state if '.adapters.gqa.up_sampler.weight' in key)
    with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
        get_dialect('vl_pet').to_vlpeft({**state, key: state[key] + 1})
    table = 'module.model.encoder.visual_embedding.obj_order_embedding.weight'
    with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
        get_dialect('vl_pet').to_vlpeft({**state, table: state[table] + 1})
    lost = next(key for key in state if '_multihead_down.1.weight' in key)
    with pytest.raises(CheckpointError, match=r'has parts \[0, 2, 3\]; some are missing'):
        get_dialect('vl_pet').to_vlpeft({name: value for name, value in state.items() if name != lost})
    model = build_vl('bart', adapter=dict(adapter_config('large'), bottleneck=6, heads=2))
    with pytest.raises(CheckpointError, match='has 4 heads, which do not divide 6'):
        get_dialect('vl_pet').from_vlpeft(model.state_dict())


@pytest.mark.parametrize('family, bare', [('bart', False), ('bart', True), ('t5', False)])
@pytest.mark.parametrize('tied', [False, True])
def test_a_base_of_transformers_fills_its_rows_and_new_ones_are_kept(tmp_path, family, bare, tied):
    rows = VOCAB[family] - 100
    lm = MODELS.build(vl_config(family, vocab_size=rows)).lm
    torch.manual_seed(3)
    for param in lm.parameters():
        torch.nn.init.normal_(param)
    state = lm.state_dict() if tied else dict(lm.named_parameters())
    state = {key: value.detach().clone() for key, value in state.items()}
    if bare:
        state = {key.removeprefix('model.'): value for key, value in state.items() if key != 'lm_head.weight'}
    path = tmp_path / 'base.bin'
    torch.save(state, path)
    assert detect(state).name == 'transformers_seq2seq'
    model = MODELS.build(vl_config(family, base_checkpoint=dict(lm=dict(source=str(path)))))
    table = model.lm.get_input_embeddings().weight
    assert torch.equal(table[:rows], lm.get_input_embeddings().weight)
    key = 'lm.model.shared.weight' if family == 'bart' else 'lm.shared.weight'
    assert model.grown == {key: rows} and table[rows:].std() > 0
    assert model.lm.lm_head.weight is table
    for name, value in lm.named_parameters():
        if name != key.removeprefix('lm.'):
            assert torch.equal(model.lm.get_parameter(name), value), name
