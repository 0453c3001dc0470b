"""Towers of a model by themselves or by their paths, and families that another package brings."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipConfig,
    SiglipModel,
)

from tests.majors import FIVE
from tests.sites.test_clip_families import TEXT
from tests.sites.test_clip_families import VISION as CLIP_VISION
from tests.tiny import randomise
from tests.tiny_epalm import LMS, VOCAB
from tests.tiny_seq2seq import build_lm
from tests.towers import VISION
from vlpeft import find_towers
from vlpeft.models.backbones import build_causal_lm
from vlpeft.registry import ADAPTERS, MODELS
from vlpeft.sites import FAMILIES, AdapterSwitch, Attachment, SiteError, describe, family
from vlpeft.sites.families.registry import key_of

#: What transformers calls the parts of CLIP and SigLIP; until 4.57 a model of each holds a transformer.
PART, LLAVA_VISION = 'Transformer', 'model.vision_tower.vision_model'
if FIVE:
    PART, LLAVA_VISION = 'Model', 'model.vision_tower'


class Pair(nn.Module):
    """Two vision transformers and a text encoder."""

    def __init__(self):
        super().__init__()
        self.left, self.right = MODELS.build(VISION['dinov2']), MODELS.build(VISION['beit'])
        self.words = nn.ModuleDict(dict(encoder=build_lm('bart').get_encoder()))


def llava():
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**CLIP_VISION),
            text_config=LlamaConfig(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                intermediate_size=24,
                vocab_size=40,
            ),
        )
    )


#: Name, path, class, depth, width, causal, kinds.
MODELS_AND_TOWERS = dict(
    bart=(
        lambda: build_lm('bart'),
        [
            ('encoder', 'model.encoder', 'BartEncoder', 2, 16, False, ['self_attn', 'ffn']),
            ('decoder', 'model.decoder', 'BartDecoder', 2, 16, True, ['self_attn', 'cross_attn', 'ffn']),
        ],
    ),
    t5=(
        lambda: build_lm('t5'),
        [
            ('encoder', 'encoder', 'T5Stack', 2, 16, False, ['self_attn', 'ffn']),
            ('decoder', 'decoder', 'T5Stack', 2, 16, True, ['self_attn', 'cross_attn', 'ffn']),
        ],
    ),
    opt=(
        lambda: build_causal_lm(LMS['opt'], VOCAB),
        [('lm', '', 'OPTForCausalLM', 8, 16, True, ['self_attn', 'ffn'])],
    ),
    gpt2=(
        lambda: build_causal_lm(LMS['gpt2'], VOCAB),
        [('lm', '', 'GPT2LMHeadModel', 8, 16, True, ['self_attn', 'ffn'])],
    ),
    llama=(
        lambda: build_causal_lm(LMS['llama'], VOCAB),
        [('lm', '', 'LlamaForCausalLM', 8, 16, True, ['self_attn', 'ffn'])],
    ),
    clip=(
        lambda: CLIPModel(CLIPConfig(text_config=TEXT, vision_config=CLIP_VISION)),
        [
            ('text', 'text_model', f'CLIPText{PART}', 2, 16, True, ['self_attn', 'ffn']),
            ('vision', 'vision_model', f'CLIPVision{PART}', 3, 20, False, ['self_attn', 'ffn']),
        ],
    ),
    siglip=(
        lambda: SiglipModel(SiglipConfig(text_config=dict(TEXT, projection_size=20), vision_config=CLIP_VISION)),
        [
            ('text', 'text_model', f'SiglipText{PART}', 2, 16, False, ['self_attn', 'ffn']),
            ('vision', 'vision_model', f'SiglipVision{PART}', 3, 20, False, ['self_attn', 'ffn']),
        ],
    ),
    vit=(
        lambda: nn.Sequential(MODELS.build(VISION['dinov2']), nn.Linear(16, 3)),
        [('vision', '0', 'VisionTransformer', 2, 16, False, ['self_attn', 'ffn'])],
    ),
    beit=(
        lambda: MODELS.build(VISION['beit']),
        [('vision', '', 'BEiTViT', 2, 16, False, ['self_attn', 'ffn'])],
    ),
    llava=(
        llava,
        [
            (
                'vision',
                LLAVA_VISION,
                f'CLIPVision{PART}',
                2,
                20,
                False,
                ['self_attn', 'ffn'],
            ),
            ('lm', 'model.language_model', 'LlamaModel', 2, 16, True, ['self_attn', 'ffn']),
        ],
    ),
)


def facts(found):
    return [
        (
            name,
            found.paths[name],
            type(tower.module).__name__,
            len(tower.blocks),
            tower.width,
            tower.causal,
            list(tower.blocks[0].sublayers),
        )
        for name, tower in found.items()
    ]


@pytest.mark.parametrize('name', MODELS_AND_TOWERS)
def test_towers_are_found_by_family(name):
    build, expected = MODELS_AND_TOWERS[name]
    model = build()
    found = find_towers(model)
    assert facts(found) == expected and not any(tower.packed for tower in found.values())
    for tower_name, tower in found.items():
        assert tower.name == tower_name and tower.module is model.get_submodule(found.paths[tower_name])
    # Naming the same paths finds the same.
    assert facts(find_towers(model, found.paths)) == expected


def test_the_table():
    rows = repr(find_towers(build_lm('bart'))).splitlines()
    assert rows == [
        'tower    path           class        depth  width  causal  kinds and linears',
        'encoder  model.encoder  BartEncoder  2      16     no      self_attn (q k v o), ffn (fc1 fc2)',
        'decoder  model.decoder  BartDecoder  2      16     yes     '
        'self_attn (q k v o), cross_attn (q k v o), ffn (fc1 fc2)',
    ]
    assert '(the model)' in str(find_towers(build_causal_lm(LMS['llama'], VOCAB)))


def test_two_towers_of_one_role_are_named_by_the_caller():
    model = Pair()
    with pytest.raises(SiteError) as raised:
        find_towers(model)
    written = str(raised.value).partition('towers=')[2]
    assert written == "dict(vision_0='left', vision_1='right', encoder='words.encoder')"
    assert ".Pair has 2 towers of role 'vision'; name those that are meant: " in str(raised.value)
    found = find_towers(model, towers=eval(written))
    assert found.paths == dict(vision_0='left', vision_1='right', encoder='words.encoder')
    assert [type(tower.module).__name__ for tower in found.values()] == ['VisionTransformer', 'BEiTViT', 'BartEncoder']


def test_a_module_that_holds_one_tower_names_it():
    found = find_towers(llava(), dict(vision='model.vision_tower', lm='model.language_model'))
    assert found.paths == dict(vision=LLAVA_VISION, lm='model.language_model')


@pytest.mark.parametrize(
    'towers, message',
    [
        (dict(eye='lefd'), r"find_towers: eye='lefd' is no module of \w+\.Pair; did you mean left\?"),
        (dict(eye='left.layer.0'), r"eye='left\.layer\.0' is no module of \w+\.Pair; did you mean left\.layers\?"),
        (dict(eye='zzz'), r"eye='zzz' is no module of \w+\.Pair; there are left, right, words"),
        (dict(eye=''), r"eye='' holds 3 towers: left, right, words\.encoder; name one of them"),
        (dict(eye='left.layers'), r"eye='left\.layers': no family describes \w+\.\w+ or a module in it.*there are: "),
        (dict(a='left', b='left'), r"a='left' and b='left' are one tower; name it once"),
        ({'left.eye': 'left'}, r"'left\.eye' cannot name a tower; use letters, digits and underscores"),
        ({}, r"towers names none; write towers=dict\(name='module\.path'\)"),
    ],
)
def test_paths_that_cannot_be(towers, message):
    with pytest.raises(SiteError, match=message) as raised:
        find_towers(Pair(), towers)
    assert '\n' not in str(raised.value)


def test_a_head_and_its_body_are_one_tower():
    with pytest.raises(SiteError, match="lm='' and body='transformer' are one tower"):
        find_towers(build_causal_lm(LMS['gpt2'], VOCAB), dict(lm='', body='transformer'))


class VisionTransformer(nn.Module):
    """Of the name, not of the build, of mmpretrain's, as timm's is."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))


def test_a_class_of_the_same_name_from_elsewhere_is_no_family():
    message = (
        r'no family describes the backbone \w+\.VisionTransformer \(nearest: mmpretrain\.VisionTransformer\); there'
    )
    with pytest.raises(SiteError, match=message) as raised:
        describe(VisionTransformer(), 'vision')
    assert all(name in str(raised.value) for name in FAMILIES) and '\n' not in str(raised.value)
    with pytest.raises(
        SiteError,
        match=r"find_towers: no family describes torch\.Sequential or a module in it \(\w+\.VisionTransformer at '0' "
        r'is like mmpretrain\.VisionTransformer\); there are: .*transformers\.BartEncoder.*; another one is declared '
        r'by @vlpeft\.sites\.family\(',
    ) as raised:
        find_towers(nn.Sequential(VisionTransformer()))
    assert '\n' not in str(raised.value)


def test_a_derived_class_that_is_built_differently_is_refused():
    class Own(type(MODELS.build(VISION['dinov2']))):
        pass

    own = MODELS.build(VISION['dinov2'])
    own.__class__ = Own
    assert len(describe(own, 'vision').blocks) == 2
    del own.layers[1].ln2
    with pytest.raises(SiteError, match=r'the family of mmpretrain\.VisionTransformer does not fit \w+\.Own: .*ln2'):
        describe(own, 'vision')


def test_a_derived_class_with_other_blocks_is_refused():
    """mmpretrain's DeiT III calls one norm for both branches, so that no tensor passes the norm of its FFN."""
    arch = dict(embed_dims=12, num_layers=1, num_heads=2, feedforward_channels=24)
    deit = MODELS.build(dict(type='mmpretrain.DeiT3', arch=arch, img_size=16, patch_size=8))
    message = (
        r'mmpretrain\.DeiT3 has blocks of class mmpretrain\.DeiT3TransformerEncoderLayer, whose sites are not known'
    )
    with pytest.raises(SiteError, match=message):
        describe(deit, 'vision')


def test_maps_that_are_quantised_have_the_same_sites():
    lm = build_lm('bart', torch.float32)
    plain = find_towers(lm)
    sites = {name: tower.blocks for name, tower in plain.items()}
    quantised = find_towers(torch.ao.quantization.quantize_dynamic(lm, {nn.Linear}, dtype=torch.qint8))
    assert {name: tower.blocks for name, tower in quantised.items()} == sites
    first = quantised['encoder'].module.get_submodule('layers.0.fc1')
    assert type(first) is not nn.Linear and (first.in_features, first.out_features) == (16, 24)


def test_an_unknown_backbone_is_an_error_that_lists_the_known():
    with pytest.raises(
        SiteError, match=r'no family describes the backbone torch\.Linear; there are: .*mmpretrain\.BEiTV'
    ):
        describe(nn.Linear(2, 2), 'vision')


PLUGIN = '''
"""A toy backbone and its family, as another package has them."""

from torch import nn

from vlpeft.sites import Block, LinearSite, SubLayer, Tap, Tower, family


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.mix(self.norm(x)).tanh()


class ToyStack(nn.Module):
    def __init__(self, width=6, depth=3):
        super().__init__()
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@family('toy_backbone.ToyStack', role='encoder')
def toy(module, name):
    blocks = []
    for depth in range(len(module.layers)):
        path = f'layers.{depth}'
        x, y = Tap(path + '.norm', 'input'), Tap(path, 'output')
        site = LinearSite(path + '.mix', 6, 6)
        blocks.append(Block(depth, x, dict(ffn=SubLayer('ffn', x, None, y, dict(fc1=site)))))
    return Tower(name, 6, tuple(blocks), module, 'layers')
'''


@pytest.fixture
def toy_backbone(tmp_path, monkeypatch):
    (tmp_path / 'toy_backbone.py').write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    import toy_backbone

    yield toy_backbone
    FAMILIES.pop('toy_backbone.ToyStack')
    del sys.modules['toy_backbone']


def test_a_family_from_outside_of_the_repository(toy_backbone):
    class Mine(toy_backbone.ToyStack):
        pass

    for cls in (toy_backbone.ToyStack, Mine):
        model = nn.ModuleDict(dict(body=randomise(cls(), std=0.5)))
        found = find_towers(model)
        assert facts(found) == [('encoder', 'body', cls.__name__, 3, 6, False, ['ffn'])]
        x = torch.randn(2, 4, 6)
        before = model['body'](x)
        lora = ADAPTERS.build(dict(type='LoRA', rank=2, targets=dict()), default_args=dict(towers=found))
        attachment = Attachment(randomise(lora).bindings(found), found, AdapterSwitch())
        after = model['body'](x)
        assert not torch.allclose(before, after)
        after.sum().backward()
        assert all(param.grad.any() for param in lora.parameters())
        attachment.detach()
        assert torch.equal(model['body'](x), before)


def test_importing_a_family_again_replaces_it(toy_backbone):
    first = FAMILIES['toy_backbone.ToyStack']
    exec(compile(PLUGIN, 'toy_backbone.py', 'exec'), toy_backbone.__dict__)
    assert FAMILIES['toy_backbone.ToyStack'] is not first


@pytest.mark.parametrize(
    'name, message',
    [
        ('ToyStack', r"family: 'ToyStack' is no class of a top-level module; write it as package\.Class"),
        (
            'toy.models.ToyStack',
            r"'toy\.models\.ToyStack' is no class of a top-level module; write it as toy\.ToyStack",
        ),
        (
            'transformers.BartEncoder',
            r'transformers\.BartEncoder is described by vlpeft\.sites\.families\.bart\.bart_enc',
        ),
    ],
)
def test_names_that_a_family_cannot_have(name, message):
    before = dict(FAMILIES)
    with pytest.raises(SiteError, match=message):

        @family(name, role='encoder')
        def mine(module, name):
            raise AssertionError('never called')

    assert FAMILIES == before


def test_a_role_may_depend_on_the_module():
    t5 = build_lm('t5')
    assert key_of(t5.encoder) == key_of(t5.decoder) == 'transformers.T5Stack'
    assert list(find_towers(t5)) == ['encoder', 'decoder']


def test_the_name_is_found_without_importing_torch_first():
    script = (
        'import sys, vlpeft\n'
        'assert "torch" not in sys.modules and "find_towers" in vlpeft.__all__\n'
        'assert vlpeft.sites.family.__module__ == "vlpeft.sites.families.registry"\n'
        'assert vlpeft.find_towers.__module__ == "vlpeft.sites.find" and "torch" in sys.modules\n'
        'assert "transformers" not in sys.modules and "mmpretrain" not in sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', script], check=True)
