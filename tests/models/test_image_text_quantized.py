"""QLoRA: an image-text-to-text model whose base is read in 4 or 8 bits of bitsandbytes, which computes on CPUs too."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from tests import tiny_vlms
from vlpeft.checkpoint import Checkpoint
from vlpeft.checkpoint.trained import load_trained
from vlpeft.engine.hooks.adapter_checkpoint import kept_state
from vlpeft.models.backbones.image_text_lm import build_image_text_lm
from vlpeft.models.tasks import ImageTextLM

bitsandbytes = pytest.importorskip('bitsandbytes', reason='bitsandbytes is not installed')
pytestmark = pytest.mark.filterwarnings('ignore:MatMul8bitLt')

KINDS = dict(
    int8=dict(load_in_8bit=True),
    nf4=dict(load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_compute_dtype='float32'),
)
LORA = dict(type='LoRA', rank=4, targets=dict(towers=['lm']))


def geometry():
    """Blocks of 64 weights, which have one scale, must fit into a row."""
    config = tiny_vlms.config('llava')
    for part in ('text_config', 'vision_config'):
        config[part].update(hidden_size=64, intermediate_size=128)
    return config


def build(folder, kind):
    return ImageTextLM(
        model=geometry(),
        processor=str(folder),
        tasks=dict(vqa=dict(max_new_tokens=4)),
        dtype='float32',
        quantization=KINDS[kind],
        adapter=LORA,
        base_checkpoint=dict(source=str(folder)),
        data_preprocessor=dict(type='BaseDataPreprocessor'),
    )


@pytest.mark.parametrize('kind', KINDS)
def test_a_quantised_base_is_adapted_and_is_not_in_checkpoints(kind, tmp_path):
    torch.manual_seed(0)
    build_image_text_lm(geometry()).save_pretrained(tmp_path)
    tiny_vlms.processor('llava', tmp_path)
    model = build(tmp_path, kind).train()
    linears = (bitsandbytes.nn.Linear8bitLt, bitsandbytes.nn.Linear4bit)
    assert sum(isinstance(part, linears) for part in model.vlm.modules()) > 10
    samples = [BaseDataElement(task='vqa') for _ in range(2)]
    optimizer = torch.optim.AdamW([param for param in model.parameters() if param.requires_grad], lr=2e-2)
    losses = []
    for _ in range(30):
        loss = model(tiny_vlms.batch('llava'), samples, mode='loss')['loss_vqa']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3
    kept = kept_state(model, model.state_dict())
    assert kept and all(key.startswith('adapter.') for key in kept)
    back = build(tmp_path, kind)
    load_trained(back, Checkpoint(kept, dict(base=model.base, method=model.method), 'trained.pth'))
    prompts = tiny_vlms.batch('llava', answers=None, side='left')
    answers = [[sample.pred_answer for sample in own.eval()(prompts, samples, mode='predict')] for own in (model, back)]
    assert answers[0] == answers[1]
    # As a run does that goes on.
    back.load_state_dict(back.state_dict())
    assert back.state_dict().keys() == kept.keys()
