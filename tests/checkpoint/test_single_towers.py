"""Files of one tower, as timm, transformers and mmpretrain save them, give what those libraries compute."""

import pytest
import torch
from released_encoders import BLOCK, DEPTH, HEADS, HIDDEN, PATCH, WIDTH, draw, encoder, head, slow_vit
from safetensors.torch import load_file
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)

from tests.tiny import VOCAB_SIZE, retriever_config
from tests.tiny import WIDTH as TEXT_WIDTH
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import detect, get_dialect
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.write import to_layout
from vlpeft.models.backbones.grid_tower import GridTower
from vlpeft.registry import MODELS

SIZE = 8
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=HIDDEN)
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw')
SCALED = dict(VIT, layer_scale_init_value=0.1)
SWIGLU = dict(SCALED, layer_cfgs=dict(ffn_type='swiglu_fused'))
LAYER_SCALE = [('attn.gamma1.weight', 'ls1.gamma', (WIDTH,)), ('ffn.gamma2.weight', 'ls2.gamma', (WIDTH,))]
THEIRS = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=SIZE, patch_size=PATCH)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def drawn(model):
    for param in model.parameters():
        param.data.normal_(std=0.3)
    model.eval()
    return model


def holder(config, home='encoder'):
    model = nn.ModuleDict({home: MODELS.build(config)})
    model.eval()
    return model


def ignored(report):
    return {key for keys in report.ignored.values() for key in keys}


@pytest.mark.parametrize('home', ['encoder', 'vision'])
@pytest.mark.parametrize('form', ['timm', 'meta', 'deit3'])
def test_timms_layer_scale(home, form):
    _, released = encoder(1 + (SIZE // PATCH) ** 2, block=(*BLOCK, *LAYER_SCALE))
    file = dict(released)
    if form == 'meta':
        file['mask_token'] = draw(1, WIDTH)
    elif form == 'deit3':
        file['pos_embed'] = released['pos_embed'] = released['pos_embed'][:, 1:]
        file = {key.replace('ls1.gamma', 'gamma_1').replace('ls2.gamma', 'gamma_2'): file[key] for key in file}
        file = dict(model={**file, **head('head')})
    model = holder(SCALED, home)
    # ImageNet-21k's classifier had a layer before its last; timm's later ones norm the mean of the patches.
    file = {**file, **head('pre_logits.fc'), **head('fc_norm')} if form == 'timm' else file
    report = load_into(model, Checkpoint.of(file), strict_parts=(home,))
    assert report.dialect == 'timm_vit' and not report.missing and not report.unexpected
    images = draw(2, 3, SIZE, SIZE)
    expected = slow_vit(released, images)
    torch.testing.assert_close(model[home](images)[-1], expected)
    assert (slow_vit({key: released[key] for key in released if '.ls' not in key}, images) - expected).abs().max() > 0.1
    state = {f'{home}.{key}': value for key, value in model[home].state_dict().items()}
    written = to_layout('timm_vit', {**state, 'adapter.x': draw(1)}, model).content
    torch.testing.assert_close(slow_vit(written, images), expected)


@pytest.mark.parametrize('home', ['encoder', 'vision'])
@pytest.mark.parametrize('kind', ['dinov2', 'classifier', 'swiglu', 'vit'])
def test_vision_towers_of_transformers(tmp_path, home, kind):
    options = dict(mlp_ratio=HIDDEN // WIDTH, layerscale_value=0.5, use_swiglu_ffn=kind == 'swiglu')
    theirs = drawn(
        {
            'dinov2': lambda: Dinov2Model(Dinov2Config(**THEIRS, **options)),
            'classifier': lambda: Dinov2ForImageClassification(Dinov2Config(**THEIRS, **options)),
            'swiglu': lambda: Dinov2Model(Dinov2Config(**THEIRS, **options)),
            'vit': lambda: ViTModel(ViTConfig(**THEIRS, intermediate_size=HIDDEN, layer_norm_eps=1e-6)),
        }[kind]()
    )
    theirs.save_pretrained(tmp_path)
    model = holder(dict(dinov2=SCALED, classifier=SCALED, swiglu=SWIGLU, vit=VIT)[kind], home)
    report = load_into(model, Checkpoint.read(tmp_path / 'model.safetensors'), strict_parts=(home,))
    assert report.dialect == 'transformers_vit' and not report.missing and not report.unexpected
    images = draw(2, 3, SIZE, SIZE)
    with torch.no_grad():
        expected = (theirs.dinov2 if kind == 'classifier' else theirs)(images).last_hidden_state
        torch.testing.assert_close(model[home](images)[-1], expected)
    written = to_layout('transformers_vit', model.state_dict(), model).content
    # transformers 5 has other names in memory than in files.
    again, left = (ViTModel if kind == 'vit' else Dinov2Model).from_pretrained(
        None, config=theirs.config, state_dict=written, output_loading_info=True
    )
    again.eval()
    # What a tower without classifier and without pre-training does not have.
    assert not left['unexpected_keys']
    assert {key.partition('.')[0] for key in left['missing_keys'] if key != 'embeddings.mask_token'} <= {'pooler'}
    with torch.no_grad():
        torch.testing.assert_close(again(images).last_hidden_state, expected)


@pytest.mark.parametrize('home', ['encoder', 'vision'])
@pytest.mark.parametrize('bare', [False, True])
def test_mmpretrains_own_state_dict(home, bare):
    source = drawn(MODELS.build(SCALED))
    prefix = '' if bare else 'backbone.'
    file = {prefix + key: value for key, value in source.state_dict().items()}
    # mmpretrain's EVA-02 classifiers average the patches and norm the mean.
    others = {prefix + 'mask_token': draw(1, WIDTH), prefix + 'ln2.weight': draw(WIDTH), **head('head.fc')}
    file.update(others)
    model = holder(SCALED, home)
    report = load_into(model, Checkpoint.of(file), strict_parts=(home,))
    assert report.dialect == 'mmpretrain_backbone' and not report.missing and not report.unexpected
    assert ignored(report) == set(others)
    images = draw(2, 3, SIZE, SIZE)
    torch.testing.assert_close(model[home](images)[-1], source(images)[-1])


def bert_file(folder, form='bare'):
    """A BERT that transformers wrote, and its encoder; the vocabulary lacks [DEC] and [ENC]."""
    config = BertConfig(
        vocab_size=VOCAB_SIZE - 2,
        hidden_size=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * TEXT_WIDTH,
        max_position_embeddings=40,
    )
    theirs = drawn(BertForMaskedLM(config) if form == 'masked' else BertModel(config))
    theirs.save_pretrained(folder)
    path = folder / 'model.safetensors'
    if form == 'tensorflow':
        path = folder / 'bert.bin'
        torch.save(
            {
                key.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'): value
                for key, value in theirs.state_dict().items()
            },
            path,
        )
    return theirs.bert if form == 'masked' else theirs, str(path)


def vision_file(folder, config):
    path = folder / 'vision.pth'
    torch.save(drawn(MODELS.build(config)).state_dict(), path)
    return str(path)


@pytest.mark.parametrize('form', ['bare', 'masked', 'tensorflow'])
def test_a_plain_bert_is_the_text_tower_and_cross_attention_is_new(tmp_path, logged, form):
    theirs, path = bert_file(tmp_path, form)
    config = retriever_config(adapter=dict(type='UniAdapter', bottleneck=4))
    config['base_checkpoint'] = dict(
        vision=dict(source=vision_file(tmp_path, config['vision'])), text=dict(source=path)
    )
    model = MODELS.build(config)
    model.eval()
    (warning,) = (record.getMessage() for record in logged if record.levelname == 'WARNING')
    assert 'new, of random values: text.encoder.layer.0.crossattention.self.query.weight' in warning
    assert 'and 16 more' in warning and 'row 0 is added to the positions' in warning
    words = 'text.embeddings.word_embeddings.weight'
    assert model.grown == {words: VOCAB_SIZE - 2} and f'{words} (21, 16) -> (23, 16)' in warning
    ids = torch.randint(5, VOCAB_SIZE - 2, (3, 7))
    mask = (torch.arange(7)[None] < torch.tensor([[7], [4], [6]])).long()
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(model.text(ids, mask)[mask.bool()], expected[mask.bool()])
    # What is random in every run is saved with what trains.
    text = {name for name, _ in model.named_parameters() if name.startswith('text.')}
    assert {name for name in text if name not in model.frozen_keys()} == {name for name in text if 'crossatt' in name}
    with pytest.raises(CheckpointError, match='read only: it has no place for cross-attention'):
        get_dialect('bert').from_vlpeft({})


def test_a_bert_of_another_vocabulary_is_refused(tmp_path):
    _, path = bert_file(tmp_path)
    config = retriever_config()
    config['text']['vocab_size'] += 1
    with pytest.raises(CheckpointError, match=r'text.embeddings.word_embeddings.weight: \(21, 16\) -> \(24, 16\)'):
        MODELS.build(
            dict(
                config,
                base_checkpoint=dict(
                    vision=dict(source=vision_file(tmp_path, config['vision'])), text=dict(source=path)
                ),
            )
        )


def scaled_base(folder, **options):
    """A retriever's config without LayerScale whose vision file has it."""
    _, text = bert_file(folder)
    config = retriever_config()
    path = vision_file(folder, dict(config['vision'], layer_scale_init_value=0.1))
    config['base_checkpoint'] = dict(vision=dict(source=path, **options), text=dict(source=text))
    return config


def test_unread_keys_inside_a_part_are_an_error_that_names_the_setting(tmp_path):
    with pytest.raises(
        CheckpointError,
        match=r'vision.pth \(mmpretrain_backbone layout\) has 4 keys of vision that '
        r'the model has no place for: vision.layers.0.attn.gamma1.weight.*set '
        r'vision.layer_scale_init_value=1e-5; or list them as base_checkpoint.vision.unused',
    ):
        MODELS.build(scaled_base(tmp_path))


def test_listed_keys_may_stay_unread_and_lists_are_checked(tmp_path, logged):
    gammas = ['vision.layers.*.gamma?.weight']
    MODELS.build(scaled_base(tmp_path, unused=gammas))
    said = '\n'.join(record.getMessage() for record in logged)
    assert 'not read, listed as unused: vision.layers.0.attn.gamma1.weight' in said
    with pytest.raises(CheckpointError, match='base_checkpoint.vision.unused lists vision.typo, and .*vision.pth'):
        MODELS.build(scaled_base(tmp_path, unused=[*gammas, 'vision.typo']))


@pytest.mark.parametrize(
    'file, model, message',
    [
        (dict(arch=dict(ARCH, num_layers=3)), {}, 'has 12 keys of encoder .*The file has 3 blocks, the model 2'),
        (
            {},
            dict(arch=dict(ARCH, num_layers=3)),
            'leaves 12 keys of encoder unfilled.*The file has 2 blocks, the model 3',
        ),
        (dict(pre_norm=True), {}, 'set encoder.pre_norm=True'),
        ({}, dict(pre_norm=True), 'set encoder.pre_norm=False'),
        ({}, dict(final_norm=False), 'set encoder.final_norm=True'),
        ({}, dict(layer_scale_init_value=0.1), r'set encoder.layer_scale_init_value=0\.'),
    ],
)
def test_a_difference_between_file_and_config_names_the_setting(tmp_path, file, model, message):
    from tests.tiny_epalm import perceptual_config

    config = dict(perceptual_config('llama'), encoder=dict(VIT, **model))
    config['adapter'] = dict(config['adapter'], levels=2)
    lm = MODELS.build(config).lm
    torch.save(lm.state_dict(), tmp_path / 'lm.pth')
    config['base_checkpoint'] = dict(
        lm=dict(source=str(tmp_path / 'lm.pth')), encoder=dict(source=vision_file(tmp_path, dict(VIT, **file)))
    )
    with pytest.raises(CheckpointError, match=message):
        MODELS.build(config)


def test_a_whole_file_with_more_inside_a_backbone_is_refused(tmp_path):
    from tests.tiny import build_retriever

    state = {name: value.detach() for name, value in build_retriever(torch.float32).named_parameters()}
    released = get_dialect('blip').from_vlpeft(state)
    config = retriever_config(base_checkpoint=dict(source=str(tmp_path / 'blip.pth')))
    for extra, name in (
        ('visual_encoder.blocks.0.gamma_1', 'vision.blocks.0.gamma_1'),
        ('text_encoder.pooler.dense.weight', 'text.pooler.dense.weight'),
    ):
        torch.save(dict(model={**released['model'], extra: draw(TEXT_WIDTH)}), tmp_path / 'blip.pth')
        with pytest.raises(CheckpointError, match=f'has no place for: {name}.*as base_checkpoint.unused'):
            MODELS.build(config)
        MODELS.build(dict(config, base_checkpoint=dict(config['base_checkpoint'], unused=[name])))
    with pytest.raises(CheckpointError, match='base_checkpoint.unused goes with base_checkpoint.source'):
        MODELS.build(dict(config, base_checkpoint=dict(unused=['text.x'])))


@pytest.mark.parametrize('layout', ['mmpretrain', 'prefix', 'transformers'])
def test_a_grid_tower_refuses_it_too(tmp_path, layout):
    source = drawn(MODELS.build(SCALED))
    state = source.state_dict()
    if layout == 'prefix':
        state = {f'visual.{key}': value for key, value in state.items()}
    elif layout == 'transformers':
        # transformers 5 has other names in memory than in files.
        drawn(Dinov2Model(Dinov2Config(**THEIRS))).save_pretrained(tmp_path)
        state = load_file(tmp_path / 'model.safetensors')
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match='has 4 keys of vision .*set vision.layer_scale_init_value=1e-5$'):
        GridTower(VIT).load(tmp_path / 'w.pth')
    grid = GridTower(SCALED)
    grid.load(tmp_path / 'w.pth')
    if layout != 'transformers':
        images = draw(2, 3, SIZE, SIZE)
        torch.testing.assert_close(grid(images), source(images)[-1][:, 1:])


def test_registers_are_not_dropped_in_silence():
    _, released = encoder(1 + (SIZE // PATCH) ** 2)
    file = Checkpoint.of({**released, 'reg_token': draw(1, 4, WIDTH)})
    report = load_into(holder(VIT), file, strict_parts=('encoder',))
    assert report.unexpected == ['encoder.reg_token']


def test_layouts_are_told_apart(tmp_path):
    assert detect(torch.load(vision_file(tmp_path, VIT))).name == 'mmpretrain_backbone'
    assert (
        detect(
            BertModel(
                BertConfig(
                    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=9, intermediate_size=8
                )
            ).state_dict()
        ).name
        == 'bert'
    )
