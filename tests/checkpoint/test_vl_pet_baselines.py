"""Files of the baselines in VL-PET's code load, compute what is restated on their tensors, and are written back."""

import pytest
import torch

from tests.checkpoint.released_baselines import (
    BOTTLENECK,
    EMBEDDING,
    HIDDEN,
    OWN,
    PRODUCTS,
    PROJECTED,
    RANK,
    SCALE,
    TASKS,
    draw,
    ours,
    released,
    restated,
    trained_part,
)
from tests.tiny_vl import TASKS as SETTINGS_OF_TASKS
from tests.tiny_vl import build_vl, random_samples, vl_config, write_tokenizer
from tools.model_converters import convert_checkpoint
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import detect
from vlpeft.checkpoint.identity import base_identity
from vlpeft.checkpoint.tied import unique_state
from vlpeft.checkpoint.trained import load_trained
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS

BOTH = dict(towers=['encoder', 'decoder'])
WITH_BIASES = ['heads', 'biases']
WITH_NORMS = ['heads', dict(parts='norms', **BOTH)]
SINGLE = dict(type='Bottleneck', bottleneck=BOTTLENECK, targets=BOTH)
METHODS = ['adapter', *OWN, 'compacter', 'hyperformer', 'lora']
SHARE = dict(multiple='none', shared_down='down', shared_up='up')


def settings(method, layout='vl_pet'):
    """Arguments of a model that such a file is of."""
    tasks = [ours(task) for task in TASKS[layout]]
    model_tasks = {task: SETTINGS_OF_TASKS.get(task, SETTINGS_OF_TASKS['vqa']) for task in tasks}
    attentions = dict(BOTH, kinds=['self_attn', 'cross_attn'], linears=['q', 'v'])
    sizes = dict(bottleneck=BOTTLENECK, embedding=EMBEDDING, hidden=HIDDEN, projection=PROJECTED)
    adapter = dict(
        adapter=SINGLE,
        compacter=dict(type='Compacter', bottleneck=BOTTLENECK, phm_dim=PRODUCTS, targets=BOTH),
        hyperformer=dict(type='Hyperformer', tasks=tasks, targets=BOTH, **sizes),
        lora=dict(type='LoRA', rank=RANK, alpha=SCALE * RANK, targets=attentions),
        full=None,
        **{name: dict(SINGLE, tasks=tasks, share=share) for name, share in SHARE.items()},
    )[method]
    trainable = dict(full='all', lora=WITH_BIASES).get(method, WITH_NORMS)
    return dict(adapter=adapter, trainable=trainable, tasks=model_tasks)


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp('bart'), 'bart')


def logits_of(model, task):
    """Logits of a batch of a task."""
    features, samples = random_samples(task)
    ids = torch.tensor([[2, 5, 7], [2, 6, 9], [2, 30, 8]])
    with model.switch.task(task):
        return model.logits(model(features, samples, mode='tensor'), ids)


@pytest.mark.parametrize('prefix', ['module.', ''])
@pytest.mark.parametrize('layout', TASKS)
@pytest.mark.parametrize('method', ['full', *METHODS])
def test_a_whole_file_loads_computes_and_is_saved_back(vocabulary, method, layout, prefix):
    state, options = released(method, TASKS[layout]), settings(method, layout)
    file = {prefix + key.removeprefix('module.'): value for key, value in state.items()}
    # Full fine-tuning names no task.
    name = 'vl_pet' if method == 'full' else layout
    assert detect(file).name == name
    model = build_vl('bart', vocabulary, seed=3, **options)
    report = load_trained(model, Checkpoint.of(file, 'LAST.pth'))
    assert report.dialect == name and not report.unexpected and not report.missing
    for task in TASKS[layout]:
        slow = restated(vocabulary, options['tasks'], state, method, task)
        expected, found = (logits_of(one, ours(task)) for one in (slow, model))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
        features, samples = random_samples(ours(task))
        expected, found = (one(features, samples, mode='loss')[f'loss_{ours(task)}'] for one in (slow, model))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    if method != 'full':
        bare = restated(vocabulary, options['tasks'], state, 'full', task)
        assert (logits_of(bare, ours(task)) - logits_of(model, ours(task))).abs().max() > 0.05
    written = to_layout(name, unique_state(model), model).content
    assert set(written) == set(state)
    assert all(torch.equal(written[key], value) for key, value in state.items())


def base_of(state, part):
    """A base as it was before: all that trains was another value then, and the method was not there."""
    base = {key.removeprefix('module.'): value.float() for key, value in state.items()}
    new = ('adapter', 'visual_embedding', 'lora_', 'task_embed')
    base = {key: value for key, value in base.items() if not any(name in key for name in new)}
    return {key: value + 1 if f'module.{key}' in part else value.clone() for key, value in base.items()}


@pytest.mark.parametrize('layout', TASKS)
@pytest.mark.parametrize('method', METHODS)
def test_the_trained_part_on_its_base_is_the_whole(tmp_path, method, layout):
    state, options = released(method, TASKS[layout]), settings(method, layout)
    part = trained_part(state, method)
    torch.save(base_of(state, part), tmp_path / 'bart.bin')
    config = vl_config('bart', base_checkpoint=dict(lm=dict(source=str(tmp_path / 'bart.bin'))), **options)
    model = MODELS.build(config)
    before = {name: param.clone() for name, param in model.named_parameters()}
    report = load_trained(model, Checkpoint.of(part, 'pet.pth'))
    assert report.dialect == layout and not report.unexpected and not report.missing
    assert set(report.loaded) == model.declared, 'what the release trains is what trains here'
    whole = MODELS.build(vl_config('bart', **options))
    load_trained(whole, Checkpoint.of(state))
    changed = 0
    for name, param in model.named_parameters():
        assert torch.equal(param, whole.get_parameter(name)), name
        changed += not torch.equal(param, before[name])
    assert changed >= len(report.loaded) - 1
    trained = {name: param.detach() for name, param in model.named_parameters() if name in report.loaded}
    written = to_layout(layout, trained, model).content
    assert set(written) == set(part) and all(written[key].equal(part[key].float()) for key in part)


def test_the_trained_part_of_bitfit(tmp_path):
    """Biases and the visual projection alone, which name no task."""
    state = released('full', ())
    # Beside its own matrices the release's LoRA trains the same.
    part = trained_part(state, 'lora')
    torch.save(base_of(state, part), tmp_path / 'bart.bin')
    base = dict(lm=dict(source=str(tmp_path / 'bart.bin')))
    model = MODELS.build(vl_config('bart', base_checkpoint=base, trainable=WITH_BIASES))
    report = load_trained(model, Checkpoint.of(part, 'bitfit.pth'))
    assert report.dialect == 'vl_pet' and not report.unexpected and not report.missing
    assert set(report.loaded) == model.declared
    whole = MODELS.build(vl_config('bart', trainable='all'))
    load_trained(whole, Checkpoint.of(state))
    assert all(torch.equal(param, whole.get_parameter(name)) for name, param in model.named_parameters())
    trained = {name: param.detach() for name, param in model.named_parameters() if name in model.declared}
    written = to_layout('vl_pet', trained, model).content
    assert set(written) == set(part) and all(written[key].equal(part[key].float()) for key in part)


@pytest.mark.parametrize('method', ['multiple', 'compacter', 'hyperformer'])
def test_the_converter_writes_and_reads_them(tmp_path, method):
    state, options = released(method, TASKS['vl_pet']), settings(method)
    (tmp_path / 'config.py').write_text(f'model = {vl_config("bart", **options)!r}\n')
    torch.save(state, tmp_path / 'LAST.pth')

    def run(source, target, *arguments):
        command = [str(tmp_path / source), str(tmp_path / target), '--config', str(tmp_path / 'config.py')]
        assert convert_checkpoint.main([*command, *arguments]) == 0

    run('LAST.pth', 'ours.pth')
    mine = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    assert any(key.startswith('adapter.') for key in mine)
    torch.save(base_of(state, {}), tmp_path / 'bart.bin')
    meta = dict(base=base_identity(tmp_path / 'bart.bin'))
    torch.save(dict(state_dict=mine, meta=meta), tmp_path / 'epoch.pth')
    run('epoch.pth', 'back.pth', '--to', 'vl_pet', '--base', str(tmp_path / 'bart.bin'))
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert set(back) == set(state) and all(torch.equal(back[key], state[key].float()) for key in state)


@pytest.mark.parametrize(
    'method, leaf',
    [
        ('adapter', 'layers.0.attn_adapter.adapters.gqa.up_sampler.bias'),
        ('adapter', 'layers.1.ff_adapter.adapters.gqa.down_sampler.weight'),
        ('shared_down', 'layers.0.ff_adapter.adapters.nlvr.down_sampler.bias'),
        ('shared_down', 'decoder.layers.0.ff_adapter.adapters.nlvr.down_sampler.weight'),
        ('compacter', 'enc_attn_adapter.adapters.caption.up_sampler.phm_rule'),
        ('compacter', 'self_attn_adapter.adapters.vqa.up_sampler.W'),
        ('hyperformer', 'decoder.task_embed.task_to_embeddings.vqa'),
        ('lora', 'q_proj.lora_Bs.gqa'),
    ],
)
def test_names_of_one_tensor_that_disagree_are_refused(method, leaf):
    state = released(method, TASKS['vl_pet'])
    key = next(key for key in state if key.endswith(leaf))
    with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
        load_trained(build_vl('bart', **settings(method)), Checkpoint.of({**state, key: state[key] + 1}))


@pytest.mark.parametrize(
    'method, model, message',
    [
        ('multiple', 'adapter', r'adapter \(\d+\): adapter\.layers\.encoder_0_self_attn\.down\.vqa\.weight'),
        ('adapter', 'multiple', r'adapter \(\d+\): adapter\.layers\.encoder_0_self_attn\.down\.weight'),
        ('shared_up', 'shared_down', r'adapter \(\d+\): adapter\.layers\.encoder_0_self_attn\.down\.vqa\.weight'),
        ('compacter', 'adapter', r'adapter \(\d+\): adapter\.layers\.encoder_0_self_attn\.down\.W'),
    ],
)
def test_a_file_of_another_method_is_refused_by_its_names(method, model, message):
    with pytest.raises(CheckpointError, match=message):
        load_trained(build_vl('bart', **settings(model)), Checkpoint.of(released(method, TASKS['vl_pet'])))


def test_a_baseline_that_is_not_known_is_refused_by_its_names():
    name = 'module.model.encoder.layers.0.attn_adapter.adapters.vqa.down_sampler.U'
    with pytest.raises(CheckpointError, match=r'1 of its keys would not be read: lm \(1\): .*down_sampler.U'):
        load_trained(build_vl('bart', **settings('full')), Checkpoint.of({**released('full', ()), name: draw(2)}))


def test_a_task_that_the_release_has_not_has_no_name():
    options = settings('multiple')
    options['adapter'] = dict(options['adapter'], tasks=[*options['tasks'], 'other'])
    model = build_vl('bart', **options)
    with pytest.raises(CheckpointError, match='no place for 40 keys: adapter.layers.encoder_0_self_attn.down.other'):
        to_layout('vl_pet', unique_state(model), model)


def test_t5_has_full_fine_tuning_and_no_names_for_the_others(vocabulary):
    model = build_vl('t5', trainable='all')
    file = to_layout('vl_pet', unique_state(model), model).content
    assert 'module.encoder.visual_embedding.feat_embedding.0.weight' in file and 'module.shared.weight' in file
    again = build_vl('t5', seed=5, trainable='all')
    load_trained(again, Checkpoint.of(file))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items())
    lora = build_vl('t5', adapter=settings('lora')['adapter'])
    with pytest.raises(CheckpointError, match='vl_pet layout has no place for .* keys: adapter.layers.encoder_0'):
        to_layout('vl_pet', unique_state(lora), lora)
