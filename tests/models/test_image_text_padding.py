"""Without a preprocessor of its own, an ImageTextLM joins conversations as its model pads them."""

import pytest
import torch

from tests import tiny_vlms
from vlpeft.models import ChatDataPreprocessor
from vlpeft.models.tasks import ImageTextLM


@pytest.mark.parametrize('family', ['llava', 'blip2_t5'])
def test_samples_of_unequal_length_are_joined_as_the_model_pads(family, tmp_path):
    tiny_vlms.processor(family, tmp_path)
    model = ImageTextLM(
        tiny_vlms.FAMILIES[family].geometry, tasks=dict(vqa={}), processor=str(tmp_path), dtype='float32'
    )
    joint = model.data_preprocessor
    assert isinstance(joint, ChatDataPreprocessor) and joint.pad_token_id == tiny_vlms.PAD
    rows = [
        dict(input_ids=torch.full((1, length), 7), attention_mask=torch.ones(1, length).long()) for length in (2, 4)
    ]
    ids = joint(dict(inputs=rows, data_samples=[]))['inputs']['input_ids']
    pads = [tiny_vlms.PAD] * 2
    assert ids[0].tolist() == ([7, 7, *pads] if family == 'blip2_t5' else [*pads, 7, 7])
