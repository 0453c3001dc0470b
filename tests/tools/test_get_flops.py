"""vlpeft flops: its tables, its JSON, its refusals, and that every kind of recipe can be counted."""

import json

import pytest

from tests.commands import run_script

TOOL = 'tools/analysis_tools/get_flops.py'
SAMPLE = (
    'quickstart/uniadapter',
    'quickstart/questions_epalm',
    'quickstart/captions_vlpet',
    'uniadapter/blip_msrvtt_qa',
    'epalm/epalm_opt-2.7b_timesformer_msrvtt-qa',
    'epalm/epalm_opt-2.7b_ast_audiocaps',
    'baselines/t5-base_image_lst',
    'vlm/lora_smolvlm2-2.2b_vqav2',
    'vlm/lora_qwen2.5-vl-3b_vqav2',
)


@pytest.mark.parametrize('config', SAMPLE)
def test_recipes_are_counted(config):
    done = run_script(TOOL, config, '--json')
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for row in found['inference']:
        assert sum(row['parts'].values()) == row['flops'] >= row['base_flops'] > 0
    assert found['training']['forward'] >= found['inference'][0]['flops'] and found['training']['backward'] > 0


def test_pictures_whose_grid_is_chosen():
    parts = []
    for count in (256, 512):
        shallow = 'model.model.text_config.num_hidden_layers=1'
        command = ('vlm/lora_qwen2.5-vl-3b_vqav2', '--json', '--picture-tokens', count, '--cfg-options', shallow)
        done = run_script(TOOL, *command)
        assert done.returncode == 0, done.stderr
        parts.append(json.loads(done.stdout)['inference'][0]['parts'])
    # 4 patches a token through 32 gated layers of width 1280.
    assert parts[0]['vision / ffn'] == 32 * 256 * 4 * 3 * 2 * 1280 * 3420
    assert parts[1]['vision / ffn'] == 2 * parts[0]['vision / ffn']


def test_table():
    done = run_script(TOOL, 'quickstart/uniadapter')
    assert done.returncode == 0, done.stderr
    for text in ('re-ranking: matching', 'vision / self_attn', 'added', 'this config', 'all weights, no method'):
        assert text in done.stdout
    assert 'MACs are half of the FLOPs. Not counted: norms' in done.stdout


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--frames', '0'], '--frames must be at least 1, got 0'),
        (['--answer-tokens', '3'], 'does not depend on answer=3'),
        (['--cfg-options', 'model.adapter.bottlenek=3'], 'bottleneck'),
    ],
)
def test_wrong_arguments_are_one_line(arguments, said):
    done = run_script(TOOL, 'quickstart/uniadapter', *arguments)
    assert done.returncode in (1, 2) and said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
