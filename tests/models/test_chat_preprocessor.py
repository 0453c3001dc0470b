"""Samples of conversations are joined on the device: sides of the padding, dtypes, ragged images."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from vlpeft.engine.functions import collate_chat
from vlpeft.models import ChatDataPreprocessor

PAD = 9


def batch(*rows):
    return collate_chat([dict(inputs=row, data_samples=BaseDataElement(name=str(n))) for n, row in enumerate(rows)])


def row(*ids, labels=None, **more):
    found = dict(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    return found | more | ({} if labels is None else dict(labels=torch.tensor([labels])))


def test_training_pads_on_the_right_and_generation_on_the_left():
    joined = ChatDataPreprocessor(PAD)(batch(row(1, 2, 3, labels=[-100, 2, 3]), row(4, labels=[-100])))
    assert joined['inputs']['input_ids'].tolist() == [[1, 2, 3], [4, PAD, PAD]]
    assert joined['inputs']['attention_mask'].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert joined['inputs']['labels'].tolist() == [[-100, 2, 3], [-100, -100, -100]]
    assert [sample.name for sample in joined['data_samples']] == ['0', '1']
    prompts = batch(row(1, 2, 3), row(4, token_type_ids=torch.tensor([[1]])))
    joined = ChatDataPreprocessor(PAD)(prompts)['inputs']
    assert joined['input_ids'].tolist() == [[1, 2, 3], [PAD, PAD, 4]]
    assert joined['attention_mask'].tolist() == [[1, 1, 1], [0, 0, 1]]
    joined = ChatDataPreprocessor(PAD, encoder_decoder=True)(prompts)['inputs']
    assert joined['input_ids'].tolist() == [[1, 2, 3], [4, PAD, PAD]]


def test_pictures_are_padded_at_the_end_and_joined():
    first, second = torch.rand(1, 2, 3, 4, 5), torch.rand(2, 1, 3, 6, 4)
    sizes = torch.tensor([[4, 5]])
    rows = (row(1, pixel_values=first, image_sizes=sizes), row(2), row(3, pixel_values=second))
    joined = ChatDataPreprocessor(PAD)(batch(*rows))['inputs']
    assert joined['pixel_values'].shape == (3, 2, 3, 6, 5)
    assert torch.equal(joined['pixel_values'][:1, :, :, :4, :5], first)
    assert torch.equal(joined['pixel_values'][1:, :1, :, :6, :4], second)
    assert joined['pixel_values'].double().sum() == pytest.approx((first.double().sum() + second.double().sum()).item())
    assert torch.equal(joined['image_sizes'], sizes)


def test_images_counted_by_sample_have_an_empty_row_where_there_is_none():
    seen = dict(pixel_values=torch.rand(1, 2, 3, 4, 4), pixel_attention_mask=torch.ones(1, 2, 4, 4, dtype=torch.long))
    joined = ChatDataPreprocessor(PAD)(batch(row(1, **seen), row(2)))['inputs']
    assert joined['pixel_values'].shape == (2, 2, 3, 4, 4) and not joined['pixel_values'][1].any()
    assert joined['pixel_attention_mask'].shape == (2, 2, 4, 4)


def test_floats_have_the_dtype_of_the_model_and_ids_stay():
    given = batch(row(1, pixel_values=torch.rand(1, 3)))
    assert ChatDataPreprocessor(PAD)(given)['inputs']['pixel_values'].dtype == torch.float32
    for built in (ChatDataPreprocessor(PAD).to(torch.bfloat16), ChatDataPreprocessor(PAD, dtype='bfloat16')):
        joined = built(given)['inputs']
        assert joined['pixel_values'].dtype == torch.bfloat16
        assert joined['input_ids'].dtype == joined['attention_mask'].dtype == torch.int64


def test_wrong_arguments_and_batches():
    with pytest.raises(ValueError, match='pad_token_id must be a token, got -1'):
        ChatDataPreprocessor(-1)
    for dtype in ('int64', 'bf16'):
        with pytest.raises(ValueError, match='dtype must be a floating type'):
            ChatDataPreprocessor(0, dtype=dtype)
    with pytest.raises(ValueError, match="collate_fn=dict.type='vlpeft.collate_chat'."):
        ChatDataPreprocessor(0)(dict(inputs=row(1), data_samples=[]))
