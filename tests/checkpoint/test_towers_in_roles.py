"""Any file of an encoder fills any role: a retriever's vision, eP-ALM's encoder, the tower that computes VL features.

Files are written by the foreign classes where they are installed, else by names typed out.
"""

import fabricated
import numpy as np
import pytest
import tiny_retriever
import torch
from released_encoders import BLOCK, DEPTH, HEADS, HIDDEN, PATCH, TEMPORAL, WIDTH, draw, encoder, flax, head, slow_vit
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)

from tests.tiny import randomise
from tests.tiny_epalm import OPT, perceptual_config
from tests.tiny_epalm import VOCAB as LM_VOCAB
from tests.tiny_vl import LM, VOCAB, vl_config
from tests.towers import QUICK_GELU
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.load import load_into
from vlpeft.registry import MODELS

SIZE = fabricated.PATCH * 2
PLACES = (SIZE // PATCH) ** 2
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=HIDDEN)
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw')
SCALED = dict(VIT, layer_scale_init_value=0.1)
CLIP = dict(VIT, pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5), layer_cfgs=QUICK_GELU)
BLIP = dict(VIT, arch=dict(ARCH, feedforward_channels=fabricated.HIDDEN))
THEIRS = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=SIZE, patch_size=PATCH)


def drawn(model):
    for param in model.parameters():
        param.data.normal_(std=0.3)
    # mmpretrain's own returns nothing.
    model.eval()
    return model


def saved(folder, content, name='encoder.pth'):
    torch.save(content, folder / name)
    return folder / name


# Each writes a file and returns it with the function that the file's network computes: images -> normalised tokens.


def mmpretrain(folder, prefix):
    theirs = drawn(MODELS.build(SCALED))
    state = {prefix + key: value for key, value in theirs.state_dict().items()}
    return saved(folder, dict(state_dict={**state, **head('head.fc')}, meta={})), lambda images: theirs(images)[-1]


def timm(folder):
    _, released = encoder(1 + PLACES)
    return saved(folder, {**released, **head('head')}), lambda images: slow_vit(released, images)


def augreg(folder):
    ours, released = encoder(1 + PLACES)
    np.savez(folder / 'encoder.npz', **flax(ours), **{'head/kernel': np.zeros((WIDTH, 5)), 'head/bias': np.zeros(5)})
    return folder / 'encoder.npz', lambda images: slow_vit(released, images)


def dinov2(folder):
    theirs = drawn(Dinov2Model(Dinov2Config(**THEIRS, mlp_ratio=HIDDEN // WIDTH, layerscale_value=0.5)))
    theirs.save_pretrained(folder)
    return folder / 'model.safetensors', lambda images: theirs(images).last_hidden_state


def vit(folder):
    theirs = drawn(ViTModel(ViTConfig(**THEIRS, intermediate_size=HIDDEN, layer_norm_eps=1e-6)))
    theirs.save_pretrained(folder)
    return folder / 'model.safetensors', lambda images: theirs(images).last_hidden_state


def clip(folder):
    text = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    theirs = drawn(CLIPModel(CLIPConfig(text_config=text, vision_config=dict(THEIRS, intermediate_size=HIDDEN))))
    theirs.save_pretrained(folder)
    tower = theirs.vision_model
    return folder / 'model.safetensors', lambda images: tower.post_layernorm(tower(images).last_hidden_state)


def blip(folder):
    weights = {key: 0.3 * value for key, value in fabricated.base()['blip'].items()}
    tower = {key.partition('.')[2]: value for key, value in weights.items() if key.startswith('visual_encoder.')}
    return saved(folder, dict(model=weights)), lambda images: slow_vit(tower, images)


def retriever(folder):
    theirs = randomise(MODELS.build({**tiny_retriever.config(), 'vision': SCALED})).eval()
    return saved(folder, dict(state_dict=theirs.state_dict(), meta={})), lambda images: theirs.vision(images)[-1]


FILES = dict(
    mmpretrain=(SCALED, lambda folder: mmpretrain(folder, 'backbone.')),
    bare_mmpretrain=(SCALED, lambda folder: mmpretrain(folder, '')),
    timm=(VIT, timm),
    augreg=(VIT, augreg),
    dinov2=(SCALED, dinov2),
    vit=(VIT, vit),
    clip=(CLIP, clip),
    blip=(BLIP, blip),
    retriever=(SCALED, retriever),
)


@pytest.fixture(scope='module')
def beside(tmp_path_factory):
    """Files of what stands beside the encoder in each role."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('beside')
    text = {key: value for key, value in fabricated.base()['blip'].items() if key.startswith('text_encoder.')}
    opt = AutoModelForCausalLM.from_config(AutoConfig.for_model(**OPT, vocab_size=LM_VOCAB))
    bart = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(**LM['bart'], vocab_size=VOCAB['bart']))
    return dict(
        text=dict(source=str(saved(folder, dict(model=text), 'text.pth'))),
        opt=dict(source=str(saved(folder, opt.state_dict(), 'opt.bin'))),
        bart=dict(source=str(saved(folder, bart.state_dict(), 'bart.bin'))),
    )


def as_vision(config, encoder, beside):
    return {**tiny_retriever.config(), 'vision': config, 'base_checkpoint': dict(vision=encoder, text=beside['text'])}


def as_encoder(config, encoder, beside):
    base = dict(lm=beside['opt'], encoder=encoder)
    return perceptual_config('opt', adapter=dict(levels=2), encoder=config, base_checkpoint=base)


def as_feature_tower(config, encoder, beside):
    base = dict(lm=beside['bart'], vision=encoder)
    return vl_config('bart', vision=config, feature_width=WIDTH, base_checkpoint=base)


ROLES = dict(vision=('vision', as_vision), encoder=('encoder', as_encoder), features=('vision', as_feature_tower))


@pytest.mark.parametrize('role', ROLES)
@pytest.mark.parametrize('file', FILES)
def test_any_encoder_fills_any_role(tmp_path, beside, file, role):
    torch.manual_seed(1)
    config, write = FILES[file]
    path, compute = write(tmp_path)
    name, build = ROLES[role]
    model = MODELS.build(build(config, dict(source=str(path)), beside)).eval()
    images = draw(2, 3, SIZE, SIZE)
    with torch.no_grad():
        expected = compute(images)
        torch.testing.assert_close(model.get_submodule(model.tower_paths[name])(images)[-1], expected)
    assert expected.std() > 0.1


def test_encoders_of_clips_and_sounds_fill_ep_alms(tmp_path, beside):
    torch.manual_seed(2)
    clips = dict(
        type='TimeSformer', num_frames=3, img_size=SIZE, patch_size=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS
    )
    ours, released = encoder(1 + PLACES, block=(*BLOCK, *TEMPORAL))
    ours['encoder.time_embed'] = released['time_embed'] = draw(1, 3, WIDTH)
    file = dict(model_state={f'model.{key}': value for key, value in {**released, **head('head')}.items()})
    path = saved(tmp_path, file, 'k600.pyth')
    model = MODELS.build(as_encoder(clips, dict(source=str(path)), beside))
    for key, value in ours.items():
        assert torch.equal(model.get_parameter(key), value), key

    sounds = dict(type='AST', num_frames=20, num_bins=12, patch_size=PATCH, stride=2, arch=ARCH)
    _, released = encoder(2 + 5 * 9, extra=('cls_token', 'dist_token'), channels=1)
    file = {f'module.v.{key}': value for key, value in {**released, **head('head'), **head('head_dist')}.items()}
    path = saved(tmp_path, file, 'audioset.pth')
    model = MODELS.build(as_encoder(sounds, dict(source=str(path)), beside)).eval()
    fbanks = draw(2, 20, 12)
    slow = slow_vit(released, fbanks.transpose(1, 2)[:, None], stride=2, extra=('cls_token', 'dist_token'))
    torch.testing.assert_close(model.encoder(fbanks)[-1], slow)


def test_a_file_of_another_kind_says_what_is_missing(tmp_path, beside):
    opt = dict(source=beside['opt']['source'])
    with pytest.raises(CheckpointError, match=r'opt.bin \(transformers_causal_lm layout\) fills nothing'):
        MODELS.build(as_vision(VIT, opt, beside))
    _, released = encoder(1 + PLACES)
    path = saved(tmp_path, released)
    with pytest.raises(CheckpointError, match=r'encoder.pth \(timm_vit layout\) fills nothing'):
        MODELS.build(as_encoder(VIT, beside['opt'], dict(beside, opt=dict(source=str(path)))))


def test_a_file_that_could_be_either_tower_is_refused():
    _, released = encoder(1 + PLACES)
    model = nn.ModuleDict(dict(left=MODELS.build(VIT), right=MODELS.build(VIT)))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match='vision of the file as left of the model or vision of the file as right'):
        load_into(model, Checkpoint.of(released))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
