"""A checkpoint of mmpretrain's BLIP in our retriever gives mmpretrain's features and logits, and back."""

import pytest
import tiny_retriever
import torch
from fabricated import DEPTH, EMBED, HIDDEN, POSITIONS, VOCABULARY, WIDTH
from torch.nn import functional as F

from tests.majors import FIVE
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.registry import MODELS

pytestmark = pytest.mark.skipif(FIVE, reason="mmpretrain's BLIP does not import with transformers 5")


@pytest.fixture(scope='module')
def theirs():
    import mmpretrain  # noqa: F401
    from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

    torch.manual_seed(0)
    model = MMPRETRAIN_MODELS.build(
        dict(
            type='BlipRetrieval',
            _scope_='mmpretrain',
            vision_backbone=dict(
                type='VisionTransformer', arch=tiny_retriever.VIT_ARCH, img_size=8, patch_size=4, out_type='raw'
            ),
            text_backbone=dict(
                type='XBertEncoder',
                med_config=dict(
                    hidden_act='gelu',
                    hidden_size=WIDTH,
                    intermediate_size=HIDDEN,
                    layer_norm_eps=1e-12,
                    max_position_embeddings=POSITIONS,
                    num_attention_heads=2,
                    num_hidden_layers=DEPTH,
                    pad_token_id=0,
                    add_type_embeddings=False,
                    vocab_size=VOCABULARY,
                    encoder_width=WIDTH,
                    add_cross_attention=True,
                ),
            ),
            vision_neck=dict(type='Linear', in_features=WIDTH, out_features=EMBED),
            text_neck=dict(type='Linear', in_features=WIDTH, out_features=EMBED),
            head=dict(type='ITCHead', embed_dim=EMBED, queue_size=6),
            multimodal_head=dict(type='ITMHead', hidden_size=WIDTH, with_pooler=False),
        )
    )
    for param in model.parameters():
        param.data.normal_(std=0.4)
    model.copy_params()
    model.eval()
    return model


@pytest.fixture(scope='module')
def ours(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp('base') / 'mmpretrain.pth'
    torch.save(dict(state_dict=theirs.state_dict(), meta={}), path)
    model = MODELS.build(tiny_retriever.config(base_checkpoint=dict(source=str(path))))
    model.eval()
    return model


@torch.no_grad()
def test_features_and_logits_are_equal(theirs, ours):
    from vlpeft.models.backbones import CrossContext
    from vlpeft.models.tokenizer import Tokens

    images = torch.randn(3, 3, 8, 8)
    ids = torch.randint(1, VOCABULARY - 2, (3, 7))
    mask = (torch.arange(7)[None] < torch.tensor([[7], [4], [6]])).long()

    vision = ours.encode_vision(images[:, None])
    expected = theirs._extract_feat(images, 'images')
    torch.testing.assert_close(vision.feature, expected['image_feat'], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vision.tokens[:, 0], expected['image_embeds'], rtol=1e-4, atol=1e-5)

    text = theirs.text_backbone(ids, attention_mask=mask, return_dict=True, mode='text').last_hidden_state[:, 0]
    torch.testing.assert_close(
        ours.encode_text(Tokens(ids, mask)), F.normalize(theirs.text_neck(text), dim=-1), rtol=1e-4, atol=1e-5
    )

    context = CrossContext(ours.text.project_context(vision.tokens.flatten(1, 2)))
    logits = ours.itm_head(ours.match(Tokens(ids, mask), context))
    ids = ids.clone()
    ids[:, 0] = VOCABULARY - 1
    fused = theirs.text_backbone(
        ids,
        attention_mask=mask,
        encoder_hidden_states=expected['image_embeds'],
        return_dict=True,
        encoder_attention_mask=torch.ones(3, 5, dtype=torch.long),
    ).last_hidden_state[:, 0]
    assert logits.std() > 0.01
    torch.testing.assert_close(logits, theirs.multimodal_head((fused,)), rtol=1e-4, atol=1e-5)
    assert ours.itc_head.temperature == theirs.temp


def test_written_checkpoint_fills_their_model(theirs, ours):
    state = theirs.state_dict()
    written = get_dialect('mmpretrain').from_vlpeft(ours.state_dict())['state_dict']
    queues = {'head.image_queue', 'head.text_queue', 'head.idx_queue', 'head.queue_ptr'}
    assert set(state) - set(written) == queues and set(written) <= set(state)
    for key, tensor in written.items():
        assert torch.equal(tensor, state[key]), key
