"""Towers run alone on the input that their family describes, with weights and without."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import vlpeft
from tests.sites.test_find_towers import MODELS_AND_TOWERS
from tests.sites.test_outside import llava, siglip2
from vlpeft.models.tasks import AdaptedModel
from vlpeft.registry import MODELS
from vlpeft.sites import FAMILIES, OUTSIDE, SiteError, find_towers, run_alone
from vlpeft.testing import SUBJECTS, check_family
from vlpeft.testing.backbones import SIZE, VOCAB, WIDTH

MODELS_TO_PROBE = {
    **{name: subject.build for name, subject in SUBJECTS.items()},
    **{f'{name}_again': build for name, (build, _) in MODELS_AND_TOWERS.items() if name not in SUBJECTS},
    'llava_with_connector': llava,
    'siglip2': siglip2,
}


def everywhere(model: nn.Module) -> list[dict]:
    """Methods at every linear map and every part outside of blocks."""
    outside = {kind for tower in find_towers(model).values() for kind in tower.outside}
    return [
        dict(type='LoRA', rank=2, targets={}),
        *(dict(type='Bottleneck', bottleneck=2, targets=dict(kinds=[kind])) for kind in OUTSIDE if kind in outside),
    ]


@pytest.mark.parametrize('name', MODELS_TO_PROBE)
@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_every_site_is_reached(name, device):
    model = MODELS_TO_PROBE[name]().to(device)
    adapter = vlpeft.attach(model, everywhere(model), check_after=0)
    assert len(adapter.never_hit()) == len(adapter.hooks.attachments['default'].edits)
    asked = {name: getattr(tower.module, 'config', None) for name, tower in adapter.towers.items()}
    asked = {name: (config, config._attn_implementation) for name, config in asked.items() if config is not None}
    adapter.check_sites()
    assert all(config._attn_implementation == chosen for config, chosen in asked.values())
    # Such a pass is none of the user's, who is still told what his never reach.
    assert len(adapter.never_hit()) == len(adapter.hooks.attachments['default'].edits)


@pytest.mark.parametrize('name', ['bart', 't5'])
@pytest.mark.parametrize('method', [dict(type='LST', reduction=2, heads=2), dict(type='PromptTuning', length=2)])
def test_a_decoder_reads_what_the_method_makes_of_the_encoder(name, method):
    """The encoder's side network hands its state on in wider states; a prompt stays in them as further rows."""
    adapter = vlpeft.attach(SUBJECTS[name].build().to('meta'), method, check_after=0)
    adapter.check_sites()


def test_a_pass_changes_nothing():
    """Statistics stay, modes stay, and what acts stays."""
    model = nn.Sequential(SUBJECTS['vit'].build(), nn.BatchNorm1d(3))
    model.train()
    model[1].eval()
    adapter = vlpeft.attach(model, dict(type='LoRA', targets={}), check_after=0)
    adapter.add('second', dict(type='LoRA', targets=dict(linears=['q'])))
    before = copy.deepcopy(model.state_dict())
    with adapter.use('second'):
        adapter.check_sites()
    assert [model.training, model[0].training, model[1].training] == [True, True, False]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(ValueError, match='no set acts here; name one of default, second'), adapter.use(None):
        adapter.check_sites()


def test_what_is_not_reached_is_named():
    model = SUBJECTS['vit'].build()
    adapter = vlpeft.attach(model, dict(type='LoRA', targets=dict(linears=['q'])), check_after=0)
    model.layers[1].forward = lambda x: x
    with pytest.raises(SiteError, match=r'LoRA: no forward pass reaches 1 of its sites, such as vision.1:layers.1'):
        adapter.check_sites()


def test_a_family_without_a_probe_says_so():
    tower = replace(find_towers(SUBJECTS['vit'].build())['vision'], probe=None)
    with pytest.raises(SiteError, match='the family of VisionTransformer .* describes no probe'):
        run_alone(tower)


def test_checking_a_family_runs_its_probe(monkeypatch):
    known = FAMILIES['mmpretrain.VisionTransformer']

    def faulty(module, name):
        return replace(known.describe(module, name), probe=lambda module: dict(x=torch.zeros(1, 3, SIZE, SIZE)))

    monkeypatch.setitem(FAMILIES, 'mmpretrain.VisionTransformer', known._replace(describe=faulty))
    with pytest.raises(AssertionError, match='1 promises do not hold:\nprobe: reaches_sites: .*meta'):
        check_family(SUBJECTS['vit'], dict(lora=dict(type='LoRA', rank=2, targets=dict(linears=['o']))))


@MODELS.register_module()
class OneTower(AdaptedModel):
    """A task without a probe of its own."""

    def __init__(self, text: dict, **adaptation) -> None:
        super().__init__(dict(type='BaseDataPreprocessor'), **adaptation)
        self.text = MODELS.build(text)
        self.assemble(dict(text='text'), ())

    def forward(self, inputs, data_samples, mode='tensor'):
        return self.text(inputs)


TEXT = dict(type='BlipTextEncoder', vocab_size=VOCAB, width=WIDTH, depth=2, heads=4, hidden=24, context_width=SIZE)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
@pytest.mark.parametrize('kinds', [None, ['cross_attn']])
def test_a_task_needs_no_probe(device, kinds):
    targets = {} if kinds is None else dict(kinds=kinds)
    with torch.device(device):
        model = MODELS.build(dict(type='OneTower', text=TEXT, adapter=dict(type='LoRA', targets=targets)))
    assert model.training
    assert len(model.sets.never_hit()) == len(model.sets.attachments['default'].edits) > 0
