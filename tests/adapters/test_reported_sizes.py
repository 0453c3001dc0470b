"""What trains of BART-base beside all norms and the visual projector, as the comparison with VL-PET reports it."""

import pytest
import torch

from tests.workspace import ROOT
from vlpeft.engine.run_config import RunConfig
from vlpeft.models import count_parameters
from vlpeft.registry import MODELS

TASKS = ['vqa', 'gqa', 'nlvr2', 'caption']


@pytest.mark.parametrize(
    'adapter, trainable, total',
    [
        (dict(type='Bottleneck', bottleneck=96), 6_081_600, 145_606_464),
        (dict(type='Compacter'), 3_870_240, 143_395_104),
        (dict(type='Hyperformer', tasks=TASKS), 8_579_088, 148_103_952),
        # 30 places of 2·768·96 + 96 + 768; of three tasks more, and of their down-projections alone.
        (dict(type='Bottleneck', tasks=TASKS), 6_081_600 + 3 * 30 * 148_320, 145_606_464 + 3 * 30 * 148_320),
        (dict(type='Bottleneck', tasks=TASKS, share='up'), 6_081_600 + 90 * 73_824, 145_606_464 + 90 * 73_824),
    ],
    ids=['single', 'compacter', 'hyperformer', 'multiple', 'half-shared'],
)
def test_sizes(adapter, trainable, total):
    cfg = RunConfig.read(ROOT / 'configs/bottleneck/vl-adapter_bart-base_image.py')
    adapter = dict(adapter, targets=dict(towers=['encoder', 'decoder']))
    cfg.model.update(base_checkpoint=None, adapter=adapter)
    with torch.device('meta'):
        counts = count_parameters(MODELS.build(cfg.model))
    assert (counts['trainable'], counts['total']) == (trainable, total)
