"""What eP-ALM is made of: files of encoders, language models and its own, read whole and written back the same."""

import numpy as np
import pytest
import torch
from fabricated import assert_same
from released_encoders import BLOCK, DEPTH, HEADS, HIDDEN, PATCH, TEMPORAL, WIDTH, draw, encoder, flax, head, slow_vit
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tiny import randomise
from vlpeft.adapters.epalm import EPALM
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import detect
from vlpeft.checkpoint.files import write_safetensors
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.tied import unique_state
from vlpeft.checkpoint.write import to_layout
from vlpeft.registry import MODELS
from vlpeft.sites import describe

SIZE = 8
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=HIDDEN)
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw')
SPECTROGRAM = dict(type='AST', num_frames=20, num_bins=12, patch_size=PATCH, stride=2, arch=ARCH)
CLIPS = dict(
    type='TimeSformer',
    num_frames=3,
    img_size=SIZE,
    patch_size=PATCH,
    width=WIDTH,
    depth=DEPTH,
    heads=HEADS,
)
PLACES = (SIZE // PATCH) ** 2
VOCAB, ADDED = 20, 3
LMS = dict(
    opt=dict(
        model_type='opt',
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        ffn_dim=16,
        word_embed_proj_dim=8,
        max_position_embeddings=16,
    ),
    opt_post_norm=dict(
        model_type='opt',
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        ffn_dim=16,
        word_embed_proj_dim=4,
        do_layer_norm_before=False,
        max_position_embeddings=16,
    ),
    gpt2=dict(model_type='gpt2', n_embd=8, n_layer=3, n_head=2, n_positions=16),
    llama=dict(
        model_type='llama',
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    ),
    llama_tied=dict(
        model_type='llama',
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        tie_word_embeddings=True,
    ),
)
# What old files hold besides.
CONSTANTS = dict(
    opt={'model.decoder.version': (1,)},
    opt_post_norm={'model.decoder.version': (1,)},
    gpt2={'transformer.h.0.attn.bias': (1, 1, 16, 16), 'transformer.h.0.attn.masked_bias': ()},
    llama={'model.layers.0.self_attn.rotary_emb.inv_freq': (2,)},
    llama_tied={'model.layers.0.self_attn.rotary_emb.inv_freq': (2,)},
)
BASES = dict(opt='model.', opt_post_norm='model.', gpt2='transformer.', llama='model.', llama_tied='model.')


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def holder(config):
    """A model with an encoder alone, under the name that it has in a PerceptualLM."""
    model = nn.ModuleDict(dict(encoder=MODELS.build(config)))
    model.eval()
    return model


def language_model(name, vocab_size=VOCAB):
    lm = AutoModelForCausalLM.from_config(AutoConfig.for_model(**LMS[name], vocab_size=vocab_size))
    return nn.ModuleDict(dict(lm=lm.eval()))


def ignored(report):
    return {key for keys in report.ignored.values() for key in keys}


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_timms_vit(tmp_path, suffix):
    ours, released = encoder(1 + PLACES)
    path = tmp_path / f'vit.{suffix}'
    file = {**released, **head('head')}
    torch.save(file, path) if suffix == 'pth' else write_safetensors(file, path)
    model = holder(VIT)
    report = load_into(model, Checkpoint.read(path), strict_parts=('encoder',))
    assert report.dialect == 'timm_vit' and not report.missing and not report.unexpected and not report.resized
    assert ignored(report) == {'head.weight', 'head.bias'}
    assert_same(model.state_dict(), ours)
    images = draw(2, 3, SIZE, SIZE)
    torch.testing.assert_close(model['encoder'](images)[-1], slow_vit(released, images))
    assert_same(to_layout('timm_vit', {**ours, 'lm.x': draw(1), 'adapter.x': draw(1)}, model).content, released)


def test_timms_vit_of_another_image_size():
    _, released = encoder(1 + 4 * PLACES)
    model = holder(VIT)
    report = load_into(model, Checkpoint.of(released), strict_parts=('encoder',))
    assert report.resized == {'encoder.pos_embed': '(1, 17, 8) -> (1, 5, 8)'}
    assert torch.equal(model['encoder'].pos_embed[:, 0], released['pos_embed'][:, 0])


def test_the_original_arrays_of_a_vit(tmp_path):
    ours, released = encoder(1 + PLACES)
    arrays = flax(ours)
    assert arrays['Transformer/encoderblock_1/MultiHeadDotProductAttention_1/out/kernel'].shape == (HEADS, 4, WIDTH)
    np.savez(tmp_path / 'B_16.npz', **arrays, **{'head/kernel': np.zeros((WIDTH, 5)), 'head/bias': np.zeros(5)})
    model = holder(VIT)
    report = load_into(model, Checkpoint.read(tmp_path / 'B_16.npz'), strict_parts=('encoder',))
    assert report.dialect == 'augreg' and not report.missing and not report.unexpected
    assert ignored(report) == {'head/kernel', 'head/bias'}
    assert_same(model.state_dict(), ours)
    with pytest.raises(CheckpointError, match='read only: its files are arrays of flax .*; write timm_vit'):
        to_layout('augreg', ours, model)
    more = {key: torch.from_numpy(value) for key, value in {**arrays, 'block1/unit1/conv1/kernel': np.ones(2)}.items()}
    report = load_into(holder(VIT), Checkpoint.of(more), strict_parts=('encoder',))
    assert report.unexpected == ['encoder.block1/unit1/conv1/kernel']


def test_timesformer(tmp_path):
    ours, released = encoder(1 + PLACES, block=(*BLOCK, *TEMPORAL))
    ours['encoder.time_embed'] = released['time_embed'] = draw(1, 3, WIDTH)
    released = {f'model.{key}': value for key, value in released.items()}
    path = tmp_path / 'TimeSformer.pyth'
    weights = {**released, **head('model.head', 600)}
    torch.save(dict(epoch=14, model_state=weights, optimizer_state={}, cfg='A: 1'), path)
    model = holder(CLIPS)
    report = load_into(model, Checkpoint.read(path), strict_parts=('encoder',))
    assert report.dialect == 'timesformer' and not report.missing and not report.unexpected and not report.resized
    assert ignored(report) == {'model.head.weight', 'model.head.bias'}
    assert_same(model.state_dict(), ours)
    assert_same(to_layout('timesformer', ours, model).content['model_state'], released)
    longer = holder(dict(CLIPS, num_frames=6))
    report = load_into(longer, Checkpoint.read(path))
    assert report.resized == {'encoder.time_embed': '(1, 3, 8) -> (1, 6, 8)'}
    assert torch.equal(longer['encoder'].time_embed, ours['encoder.time_embed'][:, [0, 0, 1, 1, 2, 2]])
    with pytest.raises(CheckpointError, match='timm_vit layout has no place for 17 keys: layers.0.temporal_ln'):
        to_layout('timm_vit', ours, model)


def test_ast(tmp_path):
    ours, bare = encoder(2 + 5 * 9, extra=('cls_token', 'dist_token'), channels=1)
    released = {f'module.v.{key}': value for key, value in bare.items()}
    heads = {
        **head('module.v.head'),
        **head('module.v.head_dist'),
        **head('module.mlp_head.1', 527),
        'module.mlp_head.0.weight': draw(WIDTH),
        'module.mlp_head.0.bias': draw(WIDTH),
    }
    torch.save({**released, **heads}, tmp_path / 'audioset.pth')
    model = holder(SPECTROGRAM)
    report = load_into(model, Checkpoint.read(tmp_path / 'audioset.pth'), strict_parts=('encoder',))
    assert report.dialect == 'ast' and not report.missing and not report.unexpected
    assert ignored(report) == set(heads)
    assert_same(model.state_dict(), ours)
    fbanks = draw(2, 20, 12)
    slow = slow_vit(bare, fbanks.transpose(1, 2)[:, None], stride=2, extra=('cls_token', 'dist_token'))
    torch.testing.assert_close(model['encoder'](fbanks)[-1], slow)
    assert_same(to_layout('ast', ours, model).content, released)
    with pytest.raises(CheckpointError, match=r'encoder.pos_embed: \(1, 47, 8\) -> \(1, 32, 8\)'):
        load_into(holder(dict(SPECTROGRAM, num_frames=14)), Checkpoint.read(tmp_path / 'audioset.pth'))


EPALM_FORMS = dict(
    full=(
        dict(levels=2),
        [
            'connector.0.weight',
            'connector.0.bias',
            'connector.1.weight',
            'connector.1.bias',
            'prompt_module.prefix_embedding.0.weight',
            'prompt_module.prefix_embedding.1.weight',
            'prompt_module.prefix_embedding.1.bias',
            'prompt_module.prefix_embedding.3.weight',
            'prompt_module.prefix_embedding.3.bias',
        ],
    ),
    pt_l=(
        dict(levels=2, shared_connector=True, prompt_mlp=False),
        ['connector.0.weight', 'connector.0.bias', 'prompt_module.prefix_embedding.0.weight'],
    ),
    linear=(dict(levels=1, prompt_length=0), ['connector.0.weight', 'connector.0.bias']),
    prompt=(dict(levels=0, prompt_mlp=False), ['prompt_module.prefix_embedding.0.weight']),
)


@pytest.mark.parametrize('form', EPALM_FORMS)
def test_epalms_own_files(tmp_path, form):
    options, keys = EPALM_FORMS[form]
    model = nn.ModuleDict(dict(**language_model('opt_post_norm'), encoder=MODELS.build(VIT)))
    towers = {name: describe(model[name], name) for name in ('lm', 'encoder')}
    model['adapter'] = EPALM(towers, **{**dict(start=1, end=3, prompt_length=5), **options})
    shapes = {'connector': (8, WIDTH), '0': (5, 4), '1': (4, 4), '3': (4, 4)}
    weights = {}
    for key in keys:
        part = 'connector' if key.startswith('connector') else key.split('.')[2]
        weights[key] = draw(*shapes[part][: 2 if key.endswith('weight') else 1])
    released = dict(model=weights, optimizer={}, lr_scheduler={}, config={}, epoch=7, best_valid=97.1, best_epoch=6)
    torch.save(released, tmp_path / 'checkpoint_best.pth')
    report = load_into(model, Checkpoint.read(tmp_path / 'checkpoint_best.pth'), strict_parts=('adapter',))
    assert report.dialect == 'epalm' and not report.unexpected and len(report.loaded) == len(keys)
    assert all(key.startswith(('lm.', 'encoder.')) for key in report.missing)
    adapter = model['adapter']
    if adapter.levels:
        assert torch.equal(adapter.connector[-1].weight, weights[f'connector.{len(adapter.connector) - 1}.weight'])
    if adapter.prompt is not None:
        table = weights['prompt_module.prefix_embedding.0.weight']
        if adapter.prompt.mlp is not None:
            first, first_bias, last, last_bias = (weights[key] for key in keys[-4:])
            table = torch.tanh(table @ first.T + first_bias) @ last.T + last_bias
        torch.testing.assert_close(adapter.prompt(), table)
    saved = to_layout('epalm', unique_state(model), model).content
    assert sorted(saved) == sorted(released)
    assert_same(saved['model'], weights)


@pytest.mark.parametrize('form', ['whole', 'parameters', 'bare', 'old'])
@pytest.mark.parametrize('name', LMS)
def test_language_models_of_transformers(tmp_path, name, form):
    source = randomise(language_model(name))['lm']
    file = {key: value.clone() for key, value in source.state_dict().items()}
    tied = source.config.tie_word_embeddings
    constants = CONSTANTS[name] if form == 'old' else {}
    if form == 'parameters':
        file = {key: value.detach() for key, value in source.named_parameters()}
    elif form == 'bare':
        file = {
            key.removeprefix(BASES[name]): value for key, value in file.items() if key != 'lm_head.weight' or not tied
        }
    file.update({key: torch.zeros(shape) for key, shape in constants.items()})
    torch.save(file, tmp_path / 'lm.bin')
    model = language_model(name, VOCAB + ADDED)
    table = model['lm'].get_input_embeddings().weight
    new = table[VOCAB:].clone()
    report = load_into(model, Checkpoint.read(tmp_path / 'lm.bin'), strict_parts=('lm',))
    assert report.dialect == 'transformers_causal_lm' and not report.missing and not report.unexpected
    assert ignored(report) == set(constants)
    assert len(report.grown) == (1 if tied else 2) and set(report.grown.values()) == {VOCAB}
    assert torch.equal(table[VOCAB:], new) and (model['lm'].lm_head.weight is table) == tied
    ids = torch.tensor([[2, 5, 7, 11, 3]])
    torch.testing.assert_close(model['lm'](ids).logits[..., :VOCAB], source(ids).logits)

    state = {f'lm.{key}': value for key, value in source.state_dict().items()}
    saved = to_layout(
        'transformers_causal_lm', {**state, 'encoder.x': draw(1), 'adapter.x': draw(1)}, language_model(name)
    ).content
    assert_same(saved, dict(source.named_parameters()))


def test_an_encoder_in_our_own_layout_is_told_from_encoders_of_language_models():
    ours, _ = encoder(1 + PLACES)
    assert detect(ours).name == 'vlpeft'
    bart = {
        'encoder.layers.0.self_attn.k_proj.weight': draw(8, 8),
        'decoder.embed_tokens.weight': draw(20, 8),
        'shared.weight': draw(20, 8),
    }
    assert detect(bart).name == 'transformers_seq2seq'
