"""Retrieval by features alone: CLIP equals transformers' CLIP, trains without matching, and says what it cannot do."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.tiny import DEPTH, HEADS, PATCH, SIZE, WIDTH, random_batch, retriever_config, write_vocabulary
from tests.towers import CLIP_TEXT, VISION, build, dual_config, letter_batch, write_clip_vocabulary
from tests.workspace import write_workspace
from vlpeft.models.tokenizer import ClipTokenizer
from vlpeft.registry import MODELS

ADAPTER = dict(type='UniAdapter', bottleneck=4, share='none', modalities=('vision', 'text'))
TEXTS = ['red', 'a red bag', 'dogs run to a red ball']


@pytest.fixture
def vocabulary(tmp_path):
    return write_clip_vocabulary(tmp_path / 'vocabulary')


@pytest.fixture
def theirs():
    from transformers import CLIPConfig, CLIPModel

    vision = dict(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
        image_size=SIZE,
        patch_size=PATCH,
    )
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=CLIP_TEXT, vision_config=vision, projection_dim=8)).eval()
    for param in model.parameters():
        param.data.normal_(std=0.3)
    return model


@torch.no_grad()
@pytest.mark.parametrize('suffix', ['.bin', '.safetensors'])
def test_features_equal_those_of_transformers(theirs, vocabulary, tmp_path, suffix):
    path = tmp_path / f'clip{suffix}'
    if suffix == '.bin':
        torch.save(theirs.state_dict(), path)
    else:
        theirs.save_pretrained(tmp_path)
        path = tmp_path / 'model.safetensors'
    ours = MODELS.build(dual_config(vocabulary, base_checkpoint=dict(source=str(path))))
    ours.eval()
    images = torch.randn(3, 3, SIZE, SIZE)
    padded = ours.tokenizer.tokenizer(TEXTS, padding=True, return_tensors='pt')
    expected = theirs(pixel_values=images, **padded)
    found = ours.encode_vision(images[:, None]).feature
    torch.testing.assert_close(found, expected.image_embeds, rtol=1e-4, atol=1e-5)
    tokens = ours.tokenizer(TEXTS, images.device)
    torch.testing.assert_close(ours.encode_text(tokens), expected.text_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.itc_head.temperature, (-theirs.logit_scale).exp())


def test_geometry_may_come_from_a_folder(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    text = MODELS.build(dict(type='ClipTextEncoder', config=str(tmp_path)))
    assert {key: value.shape for key, value in text.state_dict().items()} == {
        f'text_model.{key}': value.shape for key, value in theirs.text_model.state_dict().items()
    }


def test_padding_changes_no_text_feature(vocabulary):
    model = build(dual_config(vocabulary, adapter=ADAPTER))
    together = model.encode_text(model.tokenizer(TEXTS, torch.device('cpu')))
    for text, row in zip(TEXTS, together):
        alone = model.encode_text(model.tokenizer([text], torch.device('cpu')))[0]
        torch.testing.assert_close(alone, row, rtol=1e-10, atol=1e-12)


def test_bytes_pairs_and_truncation(vocabulary):
    tokenizer = ClipTokenizer(vocabulary, 6, CLIP_TEXT['vocab_size'])
    short, long = tokenizer.ids(['Red a', 'red tea bags'])
    start, end = CLIP_TEXT['bos_token_id'], CLIP_TEXT['eos_token_id']
    assert short == [start, 53, 26, end] and len(long) == 6 and (long[0], long[-1]) == (start, end)
    assert tokenizer.text(short) == 'red a'
    with pytest.raises(ValueError, match='has 56 tokens, the text model 99'):
        ClipTokenizer(vocabulary, 6, 99).ids(['red'])


def test_training_has_no_matching_and_leaves_no_parameter_unused(vocabulary):
    model = build(dual_config(vocabulary, adapter=ADAPTER))
    model.train()
    losses = model(*letter_batch(), mode='loss')
    assert set(losses) == {'loss_itc'}
    losses['loss_itc'].backward()
    assert all(param.grad is not None for name, param in model.named_parameters() if name in model.declared)
    assert not any(name.startswith('itm_head') for name in model.state_dict())


def workspace(folder, **changes):
    config = Config.fromfile(
        write_workspace(
            folder / 'workspace',
            itm_head=None,
            frame_aware=False,
            adapter=dict(type='UniAdapter', bottleneck=4, modalities=('vision', 'text')),
        )
    )
    config.merge_from_dict(dict(dict(work_dir=str(folder / 'run'), experiment_name=str(folder)), **changes))
    return config


def test_evaluation_ranks_by_features(tmp_path):
    runner = Runner.from_cfg(workspace(tmp_path, **{'test_cfg.k_test': 0}))
    runner.test()
    found = {(row['direction'], row['query_id']): row['rank'] for row in runner.test_evaluator.metrics[0].predictions}
    clips, texts, owners = [], [], []
    with torch.no_grad():
        for batch in runner.test_dataloader:
            data = runner.model.data_preprocessor(batch)
            out = runner.model(data['inputs'], data['data_samples'], mode='tensor')
            assert all(tokens.numel() == 0 for tokens in out['tokens'])
            owners += [len(clips) + i for i, sample in enumerate(data['data_samples']) for _ in sample.texts]
            clips += list(out['features'])
            texts += list(out['text_features'])
    for i, (text, owner) in enumerate(zip(texts, owners)):
        similarity = torch.stack(clips) @ text
        assert found['t2v', i] == int((similarity >= similarity[owner]).sum())
    assert len(found) == len(clips) + len(texts) == 17


def test_reranking_without_matching_is_an_error_before_training(tmp_path):
    runner = Runner.from_cfg(workspace(tmp_path, **{'val_cfg.k_test': 4}))
    with pytest.raises(ValueError, match='k_test=4 re-ranks by matching.*set val_cfg.k_test=0 to rank by features'):
        runner.train()


@pytest.mark.parametrize(
    'config, message',
    [
        (
            dual_config(itm_head=dict(type='ITMHead', width=WIDTH)),
            'itm_head needs a text tower with cross-attention, which ClipTextEncoder has not; set itm_head=None',
        ),
        (dual_config(frame_aware=True), 'frame_aware act on cross-attention, which itm_head=None leaves out'),
        (dual_config(frame_aware=True, temporal_frames=4), 'frame_aware, temporal_frames act on'),
        (
            retriever_config(vision=dict(VISION['beit'], out_type='avg_featmap')),
            "vision tower BEiTViT has out_type='avg_featmap'; set vision.out_type='raw'",
        ),
        (
            retriever_config(vision=dict(type='mmpretrain.SwinTransformer', arch='tiny')),
            'SwinTransformer has no img_size; known to work are vlpeft.TransformersVision, mmpretrain.Vis',
        ),
    ],
)
def test_what_cannot_work_is_an_error_at_build(config, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


@torch.no_grad()
def test_a_tower_without_class_token_is_pooled_by_the_mean_of_its_patches(tmp_path):
    vision = dict(VISION['clip'], with_cls_token=False)
    model = build(retriever_config(write_vocabulary(tmp_path / 'vocabulary'), vision=vision, frame_aware=True))
    clips, _ = random_batch()
    found = model.encode_vision(clips)
    assert found.tokens.shape == (3, 2, (SIZE // PATCH) ** 2, WIDTH)
    torch.testing.assert_close(found.pooled, found.tokens.mean((1, 2)))
    assert (model.key_weights(found.feature, found.frames, 4) != 1).all()


@pytest.mark.parametrize('name', VISION)
def test_every_vision_family_trains_with_blips_text_model(tmp_path, name):
    model = build(
        retriever_config(
            write_vocabulary(tmp_path / 'vocabulary'),
            vision=VISION[name],
            frame_aware=True,
            adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3),
        )
    )
    assert model.encode_vision(random_batch()[0]).tokens.shape == (3, 2, 1 + (SIZE // PATCH) ** 2, WIDTH)
    sum(model(*random_batch(), mode='loss').values()).backward()
    assert all(param.grad is not None for name, param in model.named_parameters() if name in model.declared)
