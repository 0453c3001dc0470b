"""Parameters of a task in no backbone and no head: declared they train and are counted, else they are named."""

import pytest
import torch
from torch import nn

from tests.tiny import WIDTH
from tests.towers import VISION
from vlpeft.engine.hooks.adapter_checkpoint import kept_state
from vlpeft.models.parameters import count_parameters
from vlpeft.models.tasks import AdaptedModel
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError

METHODS = dict(none=None, lora=dict(type='LoRA', rank=2, targets=dict(linears=['q'])))


class Scaled(AdaptedModel):
    """A head on the CLS token, scaled by a number, moved by a row, and a module of which one part trains."""

    def __init__(self, own_parts, **adaptation):
        super().__init__(dict(type='ClipDataPreprocessor'), **adaptation)
        self.vision = MODELS.build(VISION['clip'])
        self.head = nn.Linear(WIDTH, 3)
        self.scale = nn.Parameter(torch.ones(()))
        self.mix = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))
        self.own_parts = own_parts
        self.assemble(towers=dict(vision='vision'), heads=('head',))

    def probe(self):
        self(next(self.vision.parameters()).new_zeros(1, 1, 3, *self.vision.img_size))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.scale * self.head(self.mix(self.vision(inputs[:, 0])[-1][:, 0]))


@pytest.mark.parametrize('method', METHODS)
def test_what_is_declared_trains_and_is_counted(method):
    model = Scaled({'scale': 'temperature', 'mix.1': 'mixer'}, adapter=METHODS[method])
    own = {'scale', 'mix.1.weight', 'mix.1.bias'}
    trained = {name for name, param in model.named_parameters() if param.requires_grad}
    assert {name for name in trained if not name.startswith('adapter.')} == own | {'head.weight', 'head.bias'}
    counts = count_parameters(model)
    assert counts['trainable_by_role']['temperature'] == 1 and counts['trainable_by_role']['mixer'] == 272
    assert counts['total'] == sum(param.numel() for param in model.parameters())
    assert own <= kept_state(model, model.state_dict()).keys()


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('own_parts, name', [({}, 'scale'), ({'scale': 'temperature'}, 'mix.0.weight')])
def test_what_is_not_declared_is_named(method, own_parts, name):
    with pytest.raises(SiteError, match=f'Scaled: parameter {name} is in no tower and no head.*own_parts = dict'):
        Scaled(own_parts, adapter=METHODS[method])
