"""The counts that the design names, from the real configs on the meta device; every config builds there."""

import json
import subprocess
import sys

import pytest

from tests.commands import run_script
from tests.workspace import ROOT

TOOL = 'tools/analysis_tools/count_params.py'


def count(config, *options):
    done = run_script(TOOL, config, '--json', *(['--cfg-options', *options] if options else []))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_msrvtt_anchors():
    command = [sys.executable, TOOL, 'configs/uniadapter/blip_msrvtt.py', '--json']
    counts = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert counts['by_role'] == dict(
        backbone=223_057_152, adapter=4_784_640, projection=393_728, itm_head=1_538, head=1
    )
    assert (counts['total'], counts['trainable']) == (228_237_059, 5_179_906)
    assert counts['trainable_by_role'] == dict(adapter=4_784_640, projection=393_728, itm_head=1_538)
    assert counts['adapter_bytes'] == 4 * counts['trainable']
    assert counts['percent'] == pytest.approx(100 * 5_179_906 / 228_237_059, abs=1e-4)
    assert sum(counts['by_role'].values()) == sum(counts['by_tower'].values()) == counts['total']


@pytest.mark.parametrize(
    'option, role, expected',
    [
        ('model.adapter.bottleneck=512', 'adapter', 18_945_024),
        ('model.adapter.kv_bottleneck=64', 'kv_adapter', 198_274),
    ],
)
def test_variants(option, role, expected):
    assert count('configs/uniadapter/blip_msrvtt.py', option)['by_role'][role] == expected


@pytest.mark.parametrize(
    'config, role, expected',
    [
        # transformers' CLIP ViT-B/16 has 149,620,737, of which 655,361 are projections and temperature.
        ('clip-vit-b16', 'backbone', 149_620_737 - 655_361),
        # 24 x (2·1024 + 1024·128 + 128 + 128·1024 + 1024) and 12 x (4·768 + 768·128 + 128 + 2·(128·768 + 768)).
        ('blip-vit-l', 'adapter', 24 * 265_344 + 12 * 299_648),
        ('blip-text_dinov2-b', 'adapter', 4_784_640),
    ],
)
def test_other_backbones(config, role, expected):
    from tools.analysis_tools.count_params import count as count_here

    assert count_here(str(ROOT / f'configs/uniadapter/{config}_msrvtt.py'), {})['by_role'][role] == expected


@pytest.mark.parametrize(
    'config, total',
    [
        # google/siglip2-base-patch16-224 and -384 have 375,187,970 and 375,479,810, two of them scale and bias.
        ('vlm/siglip2-b_{}_msrvtt', 375_187_970),
        ('vlm/siglip2-b_{}_coco', 375_479_810),
    ],
)
def test_siglip_2(config, total):
    from tools.analysis_tools.count_params import count as count_here

    # 2 towers x 12 blocks x queries and values x 2 factors of 16 x 768.
    lora = 2 * 12 * 2 * 2 * 16 * 768
    # 12 x (norm, down-projection, two up-projections), shared by both towers.
    uniadapter = 12 * (2 * 768 + 768 * 128 + 128 + 2 * (128 * 768 + 768))
    for method, added in (('lora', lora), ('uniadapter', uniadapter)):
        counts = count_here(str(ROOT / f'configs/{config.format(method)}.py'), {})
        assert (counts['total'], counts['trainable']) == (total + added, added + 2)
        assert counts['by_role']['adapter'] == added and counts['trainable_by_role']['temperature'] == 2


def test_question_answering_counts_the_words_of_the_decoder_once():
    d, words = 768, 30524
    norm, attention, ffn = 2 * d, 4 * (d * d + d), 8 * d * d + 5 * d
    vision = (3 * 16 * 16 + 1) * d + (1 + 1 + 30 * 30) * d + 12 * (2 * norm + attention + ffn) + norm
    text = words * d + 512 * d + norm + 12 * (3 * norm + 2 * attention + ffn)
    # The head: a linear map, a norm and a bias for each word; its table is the word embeddings.
    head = d * d + d + norm + words
    adapters = 12 * (2 * norm + d * 512 + 512 + 3 * (512 * d + d)) + 2 * 2 * (2 * d * 64 + 64 + d + 1)
    from tools.analysis_tools.count_params import count as count_here

    for config, extra, trainable in (
        ('uniadapter/blip_vqav2', adapters, adapters),
        ('baselines/blip_vqav2_full', 0, vision + 2 * text + head),
        ('baselines/blip_vqav2_heads', words * d, words * d + head),
    ):
        counts = count_here(str(ROOT / f'configs/{config}.py'), {})
        assert (counts['trainable'], counts['total']) == (trainable, vision + 2 * text + head + extra)
        assert sum(counts['by_role'].values()) == sum(counts['by_tower'].values()) == counts['total']


@pytest.mark.parametrize(
    'backbone, tasks, granularity, trainable, total',
    [
        ('bart', 'image', 'large', 6_052_416, 145_606_464),
        ('bart', 'image', 'middlex', 4_281_804, 143_835_852),
        ('bart', 'image', 'middley', 4_281_792, 143_835_840),
        ('bart', 'image', 'small', 4_291_020, 143_845_068),
        ('t5', 'image', 'large', 17_582_208, 240_521_856),
        ('t5', 'image', 'middlex', 10_499_736, 233_439_384),
        ('t5', 'image', 'middley', 10_499_712, 233_439_360),
        ('t5', 'image', 'small', 10_518_168, 233_457_816),
        ('bart', 'video', 'large', 4_872_768, 144_426_816),
        ('bart', 'video', 'middlex', 3_102_156, 142_656_204),
        ('bart', 'video', 'middley', 3_102_144, 142_656_192),
        ('bart', 'video', 'small', 3_111_372, 142_665_420),
    ],
)
def test_vl_pet(backbone, tasks, granularity, trainable, total):
    from tools.analysis_tools.count_params import count as count_here

    counts = count_here(str(ROOT / f'configs/vl_pet/vlpet-{granularity}_{backbone}-base_{tasks}.py'), {})
    assert (counts['trainable'], counts['total']) == (trainable, total)
    assert sum(counts['by_role'].values()) == sum(counts['by_tower'].values()) == total


def test_bitfit_as_released():
    """Every parameter of BART whose name contains ``bias``, and the visual projector."""
    options = {'model.adapter': None, 'model.trainable': ['heads', dict(parts='biases')]}
    from tools.analysis_tools.count_params import count as count_here

    counts = count_here(str(ROOT / 'configs/vl_pet/vlpet-large_bart-base_image.py'), options)
    assert (counts['trainable'], counts['total']) == (1_708_800, 141_156_864)
    # q, k, v, o, fc1 (4 d), fc2 and two norms of an encoder layer; five more of a decoder layer; the norm of the words.
    biases = 6 * 11 * 768 + 6 * 16 * 768 + 2 * 768
    assert counts['trainable_by_role'] == dict(visual_projector=1_582_848, bias=biases)


def test_vl_pet_by_role():
    assert count('configs/vl_pet/vlpet-large_bart-base_image.py')['by_role'] == dict(
        backbone=139_554_048,
        adapter=1_779_840,
        gate=1_779_840,
        value_adapter=889_920,
        layer_norm=19_968,
        visual_projector=1_582_848,
    )


#: Trained, all, and the share that the papers print (VL-PET's Table 2, VL-Adapter's on videos), of BART-base.
BASELINES = {
    'baselines/bart-base_image_full': (141_156_864, 141_156_864, '100.00'),
    'baselines/bart-base_image_bitfit': (1_708_800, 141_156_864, '1.21'),
    'baselines/bart-base_image_prompt': (2_843_936, 142_417_952, '2.00'),
    'baselines/bart-base_image_compacter': (3_870_240, 143_395_104, '2.70'),
    'baselines/bart-base_image_hyperformer': (8_579_088, 148_103_952, '5.79'),
    'baselines/bart-base_image_lora': (8_786_688, 148_234_752, '5.93'),
    'bottleneck/vl-adapter_bart-base_image': (6_081_600, 145_606_464, '4.18'),
    'bottleneck/vl-adapter_bart-base_video': (4_901_952, 144_426_816, '3.39'),
}


#: The shares of VL-PET's Table 9: gates on other adapters.
TRANSFER = {
    'compacter': dict(small='2.08', middlex='2.07', middley='2.07', large='3.28'),
    'vl-adapter': dict(small='2.98', middlex='2.98', middley='2.98', large='4.16'),
}


@pytest.mark.parametrize('adapter, gate', [(adapter, gate) for adapter in TRANSFER for gate in TRANSFER[adapter]])
def test_transfer_of_vl_pet(adapter, gate):
    counts = count(f'configs/vl_pet/transfer/{adapter}-{gate}_bart-base_image.py')
    assert f'{counts["percent"]:.2f}' == TRANSFER[adapter][gate]


@pytest.mark.parametrize('config', BASELINES)
def test_baselines_of_vl_pet(config):
    trainable, total, percent = BASELINES[config]
    counts = count(f'configs/{config}.py')
    assert (counts['trainable'], counts['total']) == (trainable, total)
    assert f'{counts["percent"]:.2f}' == percent


@pytest.mark.parametrize(
    'config, added, percent',
    [
        ('baselines/t5-base_image_full', 0, '100.00'),
        # 40 rows, made by an MLP of width 800.
        ('baselines/t5-base_image_prompt', 40 * 768 + 768 * 800 + 800 + 800 * 768 + 768, '1.26'),
        # Queries and values of 12 + 2 x 12 attentions.
        ('baselines/t5-base_image_lora', 36 * 2 * 2 * 768 * 150, '7.54'),
        # 60 places of r = 192, without norms.
        ('bottleneck/vl-adapter_t5-base_image', 60 * 295_872, '7.98'),
        ('baselines/t5-base_image_lst', None, '7.46'),
    ],
)
def test_baselines_on_t5(config, added, percent):
    counts = count(f'configs/{config}.py')
    assert f'{counts["percent"]:.2f}' == percent
    visual, whole = 1_581_312, 222_903_552 + 72 * 768 + 1_581_312
    if added is not None:
        assert (counts['trainable'], counts['total']) == (visual + added if added else whole, whole + added)


def test_epalm():
    counts = count('configs/epalm/epalm_opt-2.7b_vit-b_vqav2.py')
    assert (counts['trainable'], counts['total']) == (24_949_760, 2_762_345_216)
    assert counts['trainable_by_role'] == dict(connector=11_811_840, soft_prompt=13_137_920)
    counts = count('configs/epalm/epalm-ptl_opt-6.7b_vit-l_vqav2.py')
    assert (counts['trainable'], counts['total']) == (4_239_360, 6_966_014_976)


def test_a_llama_has_rotary_positions_on_the_meta_device_too(tmp_path):
    config = tmp_path / 'smollm2.py'
    config.write_text(f"""
_base_ = [{str(ROOT / 'configs/epalm/epalm_opt-2.7b_vit-b_vqav2.py')!r}]
model = dict(
    lm=dict(_delete_=True, model_type='llama', hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
            num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True),
    vocab_size=49_152, adapter=dict(start=19, end=29))
""")
    counts = count(str(config))
    # SmolLM2-135M's published size; the encoder is ViT-B/16's without classifier.
    assert counts['by_role']['backbone'] == 134_515_008 + 85_798_656
    assert counts['trainable'] == sum(counts['trainable_by_role'].values())
