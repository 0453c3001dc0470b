"""convert_checkpoint.py writes every layout that can be written, and says of the others why not."""

import pytest
import tiny_retriever
import torch
from fabricated import BOTTLENECK, KV_BOTTLENECK, assert_same
from released_encoders import draw
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.tiny import randomise
from tests.tiny_epalm import build_perceptual, perceptual_config
from tests.tiny_vl import vl_config
from tools.model_converters import convert_checkpoint
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import dialect_names
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.tied import unique_state
from vlpeft.checkpoint.trained import load_trained
from vlpeft.checkpoint.write import to_layout
from vlpeft.engine.messages import run_main
from vlpeft.registry import MODELS

LORA = dict(type='LoRA', rank=2, targets=dict(towers=['lm'], kinds=['self_attn'], linears=['q']))
UNIADAPTER = dict(type='UniAdapter', bottleneck=BOTTLENECK, kv_bottleneck=KV_BOTTLENECK)
ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32)
ENCODERS = dict(
    timesformer=dict(type='TimeSformer', num_frames=3, img_size=8, patch_size=4, width=8, depth=2, heads=2),
    ast=dict(type='AST', num_frames=20, num_bins=12, patch_size=4, stride=2, arch=ARCH),
)
CONFIGS = dict(
    retriever=lambda: tiny_retriever.config(adapter=UNIADAPTER),
    perceptual=lambda: perceptual_config('opt'),
    llama=lambda: perceptual_config('llama'),
    timesformer=lambda: perceptual_config('opt', adapter=dict(levels=2), encoder=ENCODERS['timesformer']),
    ast=lambda: perceptual_config('opt', adapter=dict(levels=2), encoder=ENCODERS['ast']),
    bart=lambda: vl_config('bart', adapter=dict(type='VLPET', bottleneck=8, value_bottleneck=3)),
    t5=lambda: vl_config('t5', adapter=dict(type='VLPET', bottleneck=8, value_bottleneck=3)),
)
# Layout -> models that have a place in it, and what of them it holds.
WRITTEN = dict(
    ast=dict(ast=('encoder',)),
    blip=dict(retriever=('vision', 'text', 'itc_head', 'itm_head')),
    epalm=dict(perceptual=('adapter',), llama=('adapter',)),
    mmpretrain=dict(retriever=('vision', 'text', 'itc_head', 'itm_head')),
    mmpretrain_backbone=dict(
        retriever=('vision',), perceptual=('encoder',), timesformer=('encoder',), ast=('encoder',)
    ),
    timesformer=dict(timesformer=('encoder',)),
    timm_vit=dict(retriever=('vision',), perceptual=('encoder',)),
    transformers_causal_lm=dict(perceptual=('lm',), llama=('lm',)),
    transformers_seq2seq=dict(bart=('lm',), t5=('lm',)),
    transformers_vit=dict(retriever=('vision',), perceptual=('encoder',)),
    uniadapter=dict(retriever=('vision', 'text', 'itc_head', 'itm_head', 'adapter')),
    vl_pet=dict(bart=('lm', 'visual_embedding', 'adapter'), t5=('lm', 'visual_embedding', 'adapter')),
    vl_pet_video=dict(bart=('lm', 'visual_embedding', 'adapter')),
    vlpeft=dict(
        retriever=('vision', 'text', 'itc_head', 'itm_head', 'adapter'), perceptual=('lm', 'encoder', 'adapter')
    ),
)
READ_ONLY = dict(
    augreg='its files are arrays of flax',
    bert='it has no place for cross-attention',
    clip='it has no place for the biases of trained projections',
)


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    """For each config a folder with it, a whole checkpoint and one of what trains."""
    found = {}
    for name, config in CONFIGS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / 'cfg.py').write_text(f'model = {config()!r}\n')
        model = randomise(MODELS.build(config()))
        torch.save(dict(state_dict=unique_state(model), meta={}), folder / 'whole.pth')
        trained = {key: value for key, value in unique_state(model).items() if key in model.declared}
        torch.save(dict(state_dict=trained, meta=dict(method=model.method)), folder / 'trained.pth')
        found[name] = folder, model
    return found


def convert(folder, src, dst, *options):
    command = [str(folder / src), str(dst), '--config', str(folder / 'cfg.py'), *map(str, options)]
    return run_main(lambda: convert_checkpoint.main(command))


def test_every_layout_is_in_one_of_the_two_lists():
    assert sorted([*WRITTEN, *READ_ONLY]) == dialect_names()


@pytest.mark.parametrize('layout, name', [(layout, name) for layout, names in WRITTEN.items() for name in names])
def test_what_is_written_reads_back_as_it_was(places, tmp_path, layout, name):
    folder, model = places[name]
    assert convert(folder, 'whole.pth', tmp_path / 'out.pth', '--to', layout) == 0
    again = MODELS.build(CONFIGS[name]())
    report = load_into(again, Checkpoint.read(tmp_path / 'out.pth'))
    assert report.dialect == layout and not report.unexpected
    weights = {key for key, _ in model.named_parameters() if key.partition('.')[0] in WRITTEN[layout][name]}
    assert weights and set(report.loaded) & {key for key, _ in model.named_parameters()} == weights
    for key in weights:
        assert torch.equal(again.get_parameter(key), model.get_parameter(key)), key


@pytest.mark.parametrize('layout', READ_ONLY)
def test_a_layout_that_is_not_written_says_why_before_anything_is_read(places, tmp_path, capsys, layout):
    assert convert(places['retriever'][0], 'nowhere.pth', tmp_path / 'out.pth', '--to', layout) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and f'the {layout} layout is read only: {READ_ONLY[layout]}' in lines[0]
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(
    'name, layout, message',
    [
        ('retriever', 'transformers_causal_lm', 'layout has no place for any tower of a Retriever: vision, text'),
        ('bart', 'transformers_causal_lm', 'layout has no place for any tower of a VLSeq2Seq: lm, '),
        ('bart', 'mmpretrain_backbone', 'layout has no place for any tower of a VLSeq2Seq'),
        ('perceptual', 'transformers_seq2seq', 'layout has no place for any tower of a PerceptualLM'),
        ('perceptual', 'timesformer', 'timesformer layout is not for this PerceptualLM'),
        ('timesformer', 'timm_vit', 'timm_vit layout has no place for 17 keys: time_embed'),
        ('ast', 'timm_vit', 'timm_vit layout has no place for 1 keys: dist_token'),
        ('bart', 'epalm', 'epalm layout has no place for'),
        ('perceptual', 'vl_pet', 'vl_pet layout holds models of bart and t5, not of opt'),
    ],
)
def test_a_model_that_a_layout_has_no_place_for_is_refused_in_a_line(places, tmp_path, capsys, name, layout, message):
    assert convert(places[name][0], 'whole.pth', tmp_path / 'out.pth', '--to', layout) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('name, layout', [('perceptual', 'epalm'), ('bart', 'vl_pet'), ('t5', 'vl_pet')])
def test_trained_parts_alone_are_a_file_of_a_layout_that_holds_such(places, tmp_path, name, layout):
    folder, model = places[name]
    assert convert(folder, 'trained.pth', tmp_path / 'out.pth', '--to', layout) == 0
    again = MODELS.build(CONFIGS[name]())
    report = load_into(again, Checkpoint.read(tmp_path / 'out.pth'))
    assert set(report.loaded) == model.declared and not report.unexpected
    assert all(torch.equal(again.get_parameter(key), model.get_parameter(key)) for key in model.declared)


def test_a_layout_of_whole_towers_needs_those_it_holds_and_no_others(places, tmp_path, capsys):
    folder, model = places['perceptual']
    assert convert(folder, 'trained.pth', tmp_path / 'vit.pth', '--to', 'timm_vit') == 1
    assert 'timm_vit layout holds encoder whole, and 78 keys of that are missing' in capsys.readouterr().err
    files = {}
    for part, to in (('lm', 'transformers_causal_lm'), ('encoder', 'timm_vit')):
        files[part] = tmp_path / f'{part}.bin'
        assert convert(folder, 'whole.pth', files[part], '--to', to) == 0
    # One tower of several: SRC may be its own file, which needs nothing of the language model.
    command = [str(files['encoder']), str(tmp_path / 'mm.pth'), '--config', str(folder / 'cfg.py')]
    assert convert_checkpoint.main([*command, '--to', 'mmpretrain_backbone']) == 0
    state = Checkpoint.read(tmp_path / 'mm.pth').weights
    assert_same(state, {f'backbone.{key}': value for key, value in model.encoder.state_dict().items()})


def test_a_whole_model_from_parts_and_trained_parts(places, tmp_path, capsys):
    folder, model = places['perceptual']
    files = {'lm': tmp_path / 'lm.bin', 'encoder': tmp_path / 'vit.pth'}
    assert convert(folder, 'whole.pth', files['lm'], '--to', 'transformers_causal_lm') == 0
    assert convert(folder, 'whole.pth', files['encoder'], '--to', 'timm_vit') == 0
    assert convert(folder, 'trained.pth', tmp_path / 'epalm.pth', '--to', 'epalm') == 0
    base = [f'{part}={path}' for part, path in files.items()]
    for src in (folder / 'trained.pth', tmp_path / 'epalm.pth'):
        assert convert(folder, src, tmp_path / 'whole.pth', '--base', *base, '--force') == 0
        assert_same(Checkpoint.read(tmp_path / 'whole.pth').weights, unique_state(model))
    capsys.readouterr()
    for given, message in (
        (['lm=' + str(files['lm'])], 'base_checkpoint names lm; it takes'),
        ([*base, 'eyes=x.pth'], 'base_checkpoint names lm, encoder, eyes; it takes'),
    ):
        assert convert(folder, 'trained.pth', tmp_path / 'x.pth', '--base', *given) == 1
        assert message in capsys.readouterr().err
    for given, message in (
        ([files['lm'], files['encoder']], 'say which part each of several files is for, such as lm='),
        ([base[0], base[0]], 'a part is named twice'),
    ):
        with pytest.raises(SystemExit):
            convert(folder, 'trained.pth', tmp_path / 'x.pth', '--base', *given)
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'x.pth').exists()


def test_another_base_than_recorded_is_refused_also_of_parts(places, tmp_path, capsys):
    folder, model = places['perceptual']
    files = {'lm': tmp_path / 'lm.bin', 'encoder': tmp_path / 'vit.pth'}
    assert convert(folder, 'whole.pth', files['lm'], '--to', 'transformers_causal_lm') == 0
    assert convert(folder, 'whole.pth', files['encoder'], '--to', 'timm_vit') == 0
    base = {part: dict(source=str(path)) for part, path in files.items()}
    identity = MODELS.build(dict(CONFIGS['perceptual'](), base_checkpoint=base)).base
    content = torch.load(folder / 'trained.pth')
    torch.save(dict(content, meta=dict(base=identity)), tmp_path / 'mine.pth')
    torch.save(dict(content, meta=dict(base=dict(identity, sha256='0' * 64))), tmp_path / 'other.pth')
    given = ['--base', *(f'{part}={path}' for part, path in files.items())]
    assert convert(folder, tmp_path / 'mine.pth', tmp_path / 'out.pth', *given) == 0
    assert convert(folder, tmp_path / 'other.pth', tmp_path / 'out2.pth', *given) == 1
    assert 'was trained on another base' in capsys.readouterr().err


@pytest.mark.parametrize('rows', [20, 461])
def test_rows_that_no_file_has_are_not_made_up(tmp_path, rows, capsys):
    """The vocabulary of the config has 461 rows, a base perhaps fewer: the rest is random in every run."""
    config = vl_config('bart')
    (tmp_path / 'cfg.py').write_text(f'model = {config!r}\n')
    lm = randomise(MODELS.build(dict(config, vocab_size=rows)).lm)
    torch.save({key: value.detach() for key, value in lm.named_parameters()}, tmp_path / 'bart.bin')
    assert convert(tmp_path, 'bart.bin', tmp_path / 'ours.pth') == 0
    table = Checkpoint.read(tmp_path / 'ours.pth').weights['lm.model.shared.weight']
    assert torch.equal(table, lm.model.shared.weight)
    assert ('its rows from 20 on are in no file' in capsys.readouterr().out) == (rows == 20)


def test_ep_alms_files_fill_it_where_it_is_one_of_several_methods():
    alone = build_perceptual(torch.float32)
    file = to_layout('epalm', unique_state(alone), alone).content
    perceive = perceptual_config()['adapter']
    for order in ([perceive, LORA], [LORA, perceive]):
        model = build_perceptual(torch.float32, seed=3, adapter=order)
        lora = {key: value.clone() for key, value in model.adapter.state_dict().items() if '.layers.' in key}
        report = load_trained(model, Checkpoint.of(file, 'best.pth'), start=True)
        assert report.dialect == 'epalm' and not report.unexpected and len(report.loaded) == len(file['model'])
        assert_same(model.epalm.state_dict(), alone.adapter.state_dict())
        assert lora and all(torch.equal(model.adapter.state_dict()[key], value) for key, value in lora.items())
        # As everywhere, a whole load must fill every method.
        with pytest.raises(
            CheckpointError,
            match='best.pth holds the epalm layout.* parameters unfilled: .*adapter .16.: adapter.parts',
        ):
            load_trained(model, Checkpoint.of(file, 'best.pth'))
        with pytest.raises(CheckpointError, match='epalm layout has no place for 16 keys: adapter.layers.lm_0'):
            to_layout('epalm', unique_state(model), model)
    listed = build_perceptual(torch.float32, seed=3, adapter=[perceive])
    load_trained(listed, Checkpoint.of(file), start=True)
    written = to_layout('epalm', unique_state(listed), listed).content
    assert_same(written['model'], file['model'])
    # Our own files, too.
    load_trained(listed, Checkpoint.of(dict(state_dict=unique_state(alone), meta={})))


def test_one_of_two_equal_methods_is_not_guessed():
    perceive = build_perceptual(torch.float32)
    file = to_layout('epalm', unique_state(perceive), perceive).content
    part = perceive.adapter
    model = nn.Module()
    model.adapter = nn.Module()
    model.adapter.parts = nn.ModuleList([part, build_perceptual(torch.float32, seed=2).adapter])
    with pytest.raises(CheckpointError, match='could be adapter.parts.0.connector.0.weight or adapter.parts.1.connect'):
        load_into(model, Checkpoint.of(file))
    state = {key: draw(1) for key in model.state_dict()}
    with pytest.raises(CheckpointError, match='holds one method, and several of adapter.parts have adapter.connector'):
        to_layout('epalm', state, model)


@pytest.mark.parametrize('suffix', ['bin', 'safetensors'])
@pytest.mark.parametrize('name', ['perceptual', 'llama', 'bart', 't5'])
def test_transformers_loads_what_is_written_for_it(places, tmp_path, name, suffix):
    folder, model = places[name]
    file, seq2seq = {'bin': 'pytorch_model.bin', 'safetensors': 'model.safetensors'}[suffix], name in ('bart', 't5')
    layout = 'transformers_seq2seq' if seq2seq else 'transformers_causal_lm'
    assert convert(folder, 'whole.pth', tmp_path / file, '--to', layout) == 0
    model.lm.config.save_pretrained(tmp_path)
    loader = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    theirs, info = loader.from_pretrained(tmp_path, output_loading_info=True)
    assert not info['missing_keys'] and not info['unexpected_keys'] and not info['mismatched_keys']
    for key, value in model.lm.named_parameters():
        assert torch.equal(theirs.get_parameter(key), value), key
