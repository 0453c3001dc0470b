"""Dual encoders of transformers as towers of the retriever: same scores, same loss, and what is refused."""

import math

import pytest
import torch
from mmengine.structures import BaseDataElement

from tests.siglip import LENGTH, TEXT, VISION, randomised, siglip_config, theirs, write_siglip_vocabulary
from tests.tiny import (
    PATCH,
    SIZE,
    WIDTH,
    build_vqa,
    random_batch,
    random_questions,
    retriever_config,
    write_vocabulary,
)
from tests.tiny_epalm import build_perceptual
from tests.tiny_vl import build_vl
from tests.towers import write_clip_vocabulary
from tests.workspace import write_base
from vlpeft.checkpoint import CheckpointError
from vlpeft.models.backbones import cls_levels
from vlpeft.models.heads import Features
from vlpeft.models.tokenizer import SiglipTokenizer
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError

METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn'], linears=['q', 'v'])),
    bottleneck=dict(type='Bottleneck', bottleneck=4, targets=dict(kinds=['self_attn', 'ffn'])),
    vlpet=dict(type='VLPET', targets=dict(kinds=['self_attn', 'ffn']), value_bottleneck=None, bottleneck=8),
    uniadapter=dict(type='UniAdapter', bottleneck=16, modalities=('vision', 'text')),
)
CAPTIONS = ['a red square', 'the small blue circle moves left', 'Still']


@pytest.fixture
def vocabulary(tmp_path):
    return write_siglip_vocabulary(tmp_path / 'vocabulary')


def batch(frames=2, count=3, dtype=torch.float32):
    clips, _ = random_batch(count, frames=frames, dtype=dtype)
    return clips, [BaseDataElement(text=CAPTIONS[i], clip_id=i) for i in range(count)]


def naflex_inputs(images):
    """What SigLIP 2's own image processor cuts pictures into, restated: patches row by row, colours last."""
    rows = []
    for image in images:
        grid = [
            image[:, y : y + PATCH, x : x + PATCH].permute(1, 2, 0).flatten()
            for y in range(0, SIZE, PATCH)
            for x in range(0, SIZE, PATCH)
        ]
        rows.append(torch.stack(grid))
    patches = torch.stack(rows)
    side = SIZE // PATCH
    return dict(
        pixel_values=patches,
        pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.long),
        spatial_shapes=torch.tensor([[side, side]] * len(images)),
    )


@torch.no_grad()
@pytest.mark.parametrize('kind', ['siglip', 'siglip2', 'clip'])
def test_scores_equal_those_of_transformers_on_a_file_of_theirs(kind, tmp_path):
    model = theirs(kind)
    model.save_pretrained(tmp_path)
    write = write_clip_vocabulary if kind == 'clip' else write_siglip_vocabulary
    base = dict(source=str(tmp_path / 'model.safetensors'))
    ours = MODELS.build(siglip_config(kind, write(tmp_path / 'vocabulary'), base_checkpoint=base)).eval()
    assert {name for name, _ in ours.named_parameters()} - ours.filled <= {
        name for name, _ in ours.named_parameters() if name.startswith('momentum.')
    }
    images = torch.randn(3, 3, SIZE, SIZE)
    texts = ['red bag', 'a dog', 'tea'] if kind == 'clip' else [text.lower() for text in CAPTIONS]
    padding = dict(padding=True) if kind == 'clip' else dict(padding='max_length', max_length=LENGTH)
    ids = ours.tokenizer.tokenizer(texts, return_tensors='pt', **padding)
    if kind != 'clip':
        ids = dict(input_ids=ids['input_ids'])  # SigLIP was trained without a mask
    pictures = naflex_inputs(images) if kind == 'siglip2' else dict(pixel_values=images)
    expected = model(**ids, **pictures).logits_per_image
    seen, text = ours.encode_vision(images[:, None]).feature, ours.encode_text(ours.tokenizer(texts, images.device))
    if kind == 'clip':
        found = seen @ text.T / ours.itc_head.temperature
    else:
        found = ours.itc_head.logits(Features(seen, text))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_loss_and_its_gradients_equal_those_of_transformers(vocabulary, tmp_path):
    model = theirs('siglip')
    model.save_pretrained(tmp_path)
    base = dict(source=str(tmp_path / 'model.safetensors'))
    ours = MODELS.build(siglip_config('siglip', vocabulary, base_checkpoint=base, trainable='all')).eval()
    clips, samples = batch(frames=1)
    found = ours(clips, samples, mode='loss')
    assert set(found) == {'loss_itc'}
    ids = ours.tokenizer([sample.text for sample in samples], clips.device).ids
    expected = model(input_ids=ids, pixel_values=clips[:, 0], return_loss=True).loss
    torch.testing.assert_close(found['loss_itc'], expected, rtol=1e-5, atol=0)
    found['loss_itc'].backward()
    expected.backward()
    grads = dict(model.named_parameters())
    for name, param in ours.named_parameters():
        theirs_name = name.removeprefix('vision.').removeprefix('text.').removeprefix('itc_head.')
        torch.testing.assert_close(param.grad, grads.pop(theirs_name).grad, rtol=1e-4, atol=1e-5, msg=name)
    assert not grads


@torch.no_grad()
def test_a_clip_is_the_mean_of_its_frames(vocabulary):
    model = MODELS.build(siglip_config('siglip', vocabulary))
    randomised(model)
    clips, _ = batch(frames=3)
    pooled = torch.stack([model.vision(clips[:, t]).pooled for t in range(3)]).mean(0)
    expected = torch.nn.functional.normalize(pooled, dim=-1)
    torch.testing.assert_close(model.encode_vision(clips).feature, expected, rtol=1e-5, atol=1e-6)


def test_texts_are_lower_case_padded_to_the_full_length_and_cut(vocabulary):
    tokenizer = SiglipTokenizer(vocabulary, 5, TEXT['vocab_size'])
    tokens = tokenizer(['A RED', 'the small blue circle moves'], torch.device('cpu'))
    # <pad> 0, <eos> 1, then the words.
    assert tokens.ids.tolist() == [[3, 5, 1, 0, 0], [4, 16, 7, 8, 1]]
    assert tokens.mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


@torch.no_grad()
def test_a_text_reads_the_same_alone_and_in_a_batch(vocabulary):
    model = randomised(MODELS.build(siglip_config('siglip', vocabulary)))
    together = model.encode_text(model.tokenizer(CAPTIONS, torch.device('cpu')))
    alone = torch.cat([model.encode_text(model.tokenizer([text], torch.device('cpu'))) for text in CAPTIONS])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    samples = [BaseDataElement(texts=[text], text_ids=[i], clip_id=i) for i, text in enumerate(CAPTIONS)]
    found = model(batch(frames=1)[0], samples, mode='tensor')['text_features']
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('kind', ['siglip', 'siglip2', 'clip'])
@pytest.mark.parametrize('method', METHODS)
def test_methods_train_on_both_towers(kind, method, tmp_path):
    write = write_clip_vocabulary if kind == 'clip' else write_siglip_vocabulary
    adapter = dict(METHODS[method], **(dict(share='none') if (kind, method) == ('clip', 'uniadapter') else {}))
    config = siglip_config(kind, write(tmp_path / 'vocabulary'), adapter=adapter)
    model = MODELS.build(config)
    randomised(model)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([param for param in model.parameters() if param.requires_grad], lr=0.1)
    clips, samples = batch()
    feature = model.encode_vision(clips).feature
    sum(model(clips, samples, mode='loss').values()).backward()
    still = [name for name, param in model.named_parameters() if name in model.declared and not param.grad.any()]
    assert still == []
    optimizer.step()
    for key, value in model.state_dict().items():
        if key.startswith(('vision.', 'text.')):
            assert torch.equal(value, before[key]), key
    assert not torch.allclose(model.encode_vision(clips).feature, feature)


def test_uniadapter_shares_its_modules_between_siglips_towers_and_says_where_it_cannot(vocabulary):
    shared = MODELS.build(siglip_config('siglip', vocabulary, adapter=METHODS['uniadapter']))
    apart = MODELS.build(siglip_config('siglip', vocabulary, adapter=dict(METHODS['uniadapter'], share='none')))
    assert len(shared.adapter.layers) == len(shared.towers['vision'].blocks) == 2
    assert set(apart.adapter.layers) == {'vision', 'text'}
    narrow = dict(type='SiglipTextEncoder', config=dict(TEXT, hidden_size=8, projection_size=16))
    with pytest.raises(SiteError, match=r"differ in \(depth, width\).*with share='none' each tower has modules of its"):
        MODELS.build(siglip_config('siglip', vocabulary, text=narrow, adapter=METHODS['uniadapter']))
    MODELS.build(siglip_config('siglip', vocabulary, text=narrow, adapter=dict(METHODS['uniadapter'], share='none')))


@pytest.mark.parametrize('name', [name for name in VISION if name != 'vit'])
@pytest.mark.parametrize('head', ['ITCHead', 'SigmoidITCHead'])
def test_every_tower_trains_and_matches_with_blips_text_model(name, head, tmp_path):
    heads = dict(type=head, vision_width=WIDTH, text_width=WIDTH, embed_width=8)
    model = MODELS.build(
        retriever_config(
            write_vocabulary(tmp_path / 'vocabulary'),
            vision=dict(type='TransformersVision', config=VISION[name]),
            itc_head=dict(heads, queue_size=12) if head == 'ITCHead' else heads,
            frame_aware=True,
            temporal_frames=2,
            adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3),
        )
    )
    randomised(model)
    extra = dict(siglip=0, siglip2=0, registers=5).get(name, 1)
    assert model.vision.num_extra_tokens == extra
    clips, samples = batch()
    vision = model.encode_vision(clips)
    assert vision.tokens.shape == (3, 2, extra + (SIZE // PATCH) ** 2, WIDTH)
    losses = model(clips, samples, mode='loss')
    assert set(losses) == {'loss_itc', 'loss_itm'}
    sum(losses.values()).backward()
    assert all(param.grad is not None for key, param in model.named_parameters() if key in model.declared)
    text = torch.nn.functional.one_hot(torch.zeros(1, dtype=torch.long), 8).float()
    frames = torch.nn.functional.one_hot(torch.tensor([[0, 1]]), 8).float()
    first, second = model.key_weights(text, frames, vision.tokens.shape[2]).unflatten(1, (2, -1))[0].tolist()
    like = 2 / (1 + math.exp(-1 / 4))  # 2 · softmax(1/4, 0)
    assert first == pytest.approx([1] * extra + [like] * 4) and second == pytest.approx([1] * extra + [2 - like] * 4)


@torch.no_grad()
@pytest.mark.parametrize('name', VISION)
def test_levels_are_what_the_tower_would_pool_to_if_it_ended_there(name):
    tower = randomised(MODELS.build(dict(type='TransformersVision', config=VISION[name])))
    images = torch.randn(3, 3, SIZE, SIZE)
    levels = cls_levels(tower, images, 2)
    torch.testing.assert_close(levels[:, 1], tower(images).pooled, rtol=1e-5, atol=1e-5)
    # A tower that ends one block earlier pools to the level before.
    del tower.layers[-1]
    torch.testing.assert_close(levels[:, 0], tower(images).pooled, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_file_of_another_image_size_keeps_the_places_of_its_patches(vocabulary, tmp_path):
    theirs('siglip').save_pretrained(tmp_path)
    larger = dict(type='TransformersVision', config=dict(VISION['siglip'], image_size=2 * SIZE))
    base = dict(source=str(tmp_path / 'model.safetensors'))
    model = MODELS.build(siglip_config('siglip', vocabulary, vision=larger, base_checkpoint=base))
    own = theirs('siglip').vision_model.embeddings.position_embedding.weight.T.reshape(1, WIDTH, 2, 2)
    expected = torch.nn.functional.interpolate(own, (4, 4), mode='bicubic', align_corners=False)
    found = model.vision.vision_model.embeddings.position_embedding.weight
    torch.testing.assert_close(found, expected.flatten(2)[0].T)


def test_what_cannot_work_is_an_error_at_build(vocabulary, tmp_path):
    swin = dict(
        model_type='swin', image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=2
    )
    cases = [
        (dict(itm_head=dict(type='ITMHead', width=WIDTH)), 'which SiglipTextEncoder has not; set itm_head=None'),
        (dict(max_text_length=35), r'trained on texts padded to 12 tokens; set max_text_length=12, not 35'),
        (dict(momentum=dict(decay=0.9)), r"SigmoidITCHead has no use for momentum=\{'decay': 0.9\}"),
        (
            dict(vision=dict(type='TransformersVision', config=dict(model_type='siglip_vision'))),
            "model_type='siglip_vision'; it is one of transformers, such as clip_vision_model, siglip_vision_model",
        ),
        (dict(vision=dict(type='TransformersVision', config='no/such/folder')), "vision.config 'no/such/folder'"),
        (
            dict(vision=dict(type='TransformersVision', config=swin)),
            'no family describes vlpeft.TransformersVision',
        ),
    ]
    for changes, message in cases:
        with pytest.raises((ValueError, SiteError), match=message):
            MODELS.build(siglip_config('siglip', vocabulary, **changes))
    with pytest.raises(
        ValueError, match=r'SwinModel makes \(1, 16, 16\) of .* not \(B, 64, 16\): one token for each patch'
    ):
        MODELS.build(dict(type='TransformersVision', config=swin))(torch.zeros(1, 3, 32, 32))
    theirs('siglip').save_pretrained(tmp_path / 'siglip')
    base = dict(source=str(tmp_path / 'siglip/model.safetensors'))
    with pytest.raises(CheckpointError, match='unexpected in vision: vision.embeddings.patch_embedding.bias'):
        plain = dict(retriever_config()['vision'], with_cls_token=False)
        MODELS.build(siglip_config('siglip', vocabulary, vision=plain, base_checkpoint=base))


@pytest.mark.parametrize('name', ['siglip', 'siglip2', 'clip', 'dinov2', 'registers'])
def test_a_tower_gives_grid_features_to_a_text_generator(name):
    vision = dict(type='TransformersVision', config=VISION[name])
    model = build_vl('bart', dtype=torch.float32, vision=vision, feature_width=WIDTH)
    images = torch.randn(2, 1, 3, SIZE, SIZE)
    cells = model.features(images)
    assert cells.shape == (2, 1, (SIZE // PATCH) ** 2, WIDTH)
    assert torch.equal(cells[:, 0], model.vision(images[:, 0]).tokens[:, -4:])


@pytest.mark.parametrize('name', ['siglip', 'siglip2', 'clip', 'dinov2', 'registers'])
def test_a_tower_perceives_for_a_language_model(name):
    encoder = dict(type='TransformersVision', config=VISION[name])
    model = build_perceptual(torch.float32, encoder=encoder, adapter=dict(levels=2))
    images = torch.randn(2, 1, 3, SIZE, SIZE)
    found = model.perceive(images)
    assert found.shape == (2, 2, WIDTH)
    torch.testing.assert_close(found[:, -1], model.encoder(images[:, 0]).pooled, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('changes', [{}, dict(use_swiglu_ffn=True)], ids=['plain', 'gated'])
@pytest.mark.parametrize('kind', ['Dinov2', 'Dinov2WithRegisters'])
def test_a_file_of_dinov2_fills_the_librarys_own_tower(kind, changes, tmp_path):
    import transformers

    name = 'dinov2' if kind == 'Dinov2' else 'registers'
    geometry = dict(VISION[name], **changes)
    entries = {key: value for key, value in geometry.items() if key != 'model_type'}
    model = randomised(
        getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(**entries)), std=0.1
    )
    model.save_pretrained(tmp_path)
    base = dict(
        vision=dict(source=str(tmp_path / 'model.safetensors')),
        text=dict(source=write_base(tmp_path / 'blip.pth')),
    )
    vision = dict(type='TransformersVision', config=geometry)
    ours = MODELS.build(retriever_config(write_vocabulary(tmp_path / 'v'), vision=vision, base_checkpoint=base)).eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    expected, found = model(images), ours.vision(images)
    torch.testing.assert_close(found.tokens, expected.last_hidden_state, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.pooled, expected.pooler_output, rtol=1e-5, atol=1e-6)


def test_recomputing_activations_changes_no_gradient(vocabulary):
    grads = []
    for towers in ((), ('vision', 'text')):
        config = siglip_config('siglip', vocabulary, adapter=METHODS['uniadapter'], gradient_checkpointing=towers)
        model = randomised(MODELS.build(config).double()).train()
        model(*batch(dtype=torch.float64), mode='loss')['loss_itc'].backward()
        grads.append({name: param.grad for name, param in model.named_parameters() if param.grad is not None})
    assert grads[0].keys() == grads[1].keys() and len(grads[0]) > 10
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize('name', ['siglip', 'siglip2', 'clip', 'dinov2', 'registers'])
def test_a_tower_sees_for_a_question_answerer(name, tmp_path):
    model = build_vqa(
        torch.float32,
        vocabulary=write_vocabulary(tmp_path / 'v'),
        vision=dict(type='TransformersVision', config=VISION[name]),
        frame_head=dict(type='ITCHead', vision_width=WIDTH, text_width=WIDTH, embed_width=8),
        adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3, init='normal'),
    )
    clips, samples = random_questions(dtype=torch.float32)
    model(clips, samples, mode='loss')['loss_vqa'].backward()
    assert all(param.grad is not None for key, param in model.named_parameters() if key in model.declared)
    seen, expected = model.encode_vision(clips), model.vision(clips.flatten(0, 1))
    torch.testing.assert_close(seen.tokens.flatten(0, 1), expected.tokens)
    torch.testing.assert_close(seen.pooled.flatten(0, 1), expected.pooled)
