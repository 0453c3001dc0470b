"""The counts that the design names, from the real configs on the meta device; every config builds there."""

import json
import subprocess
import sys

import pytest

from tests.workspace import ROOT


def count(config, *options):
    command = [sys.executable, 'tools/analysis_tools/count_params.py', config, '--json']
    command += ['--cfg-options', *options] if options else []
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def test_msrvtt_anchors():
    counts = count('configs/uniadapter/blip_msrvtt.py')
    assert counts['by_role'] == dict(
        backbone=223_057_152, adapter=4_784_640, projection=393_728, itm_head=1_538, head=1)
    assert (counts['total'], counts['trainable']) == (228_237_059, 5_179_906)
    assert counts['trainable_by_role'] == dict(adapter=4_784_640, projection=393_728, itm_head=1_538)
    assert counts['adapter_bytes'] == 4 * counts['trainable']
    assert counts['percent'] == pytest.approx(100 * 5_179_906 / 228_237_059, abs=1e-4)
    assert sum(counts['by_role'].values()) == sum(counts['by_tower'].values()) == counts['total']


@pytest.mark.parametrize('option, role, expected', [
    ('model.adapter.bottleneck=512', 'adapter', 18_945_024),
    ('model.adapter.kv_bottleneck=64', 'kv_adapter', 198_274),
])
def test_variants(option, role, expected):
    assert count('configs/uniadapter/blip_msrvtt.py', option)['by_role'][role] == expected


@pytest.mark.parametrize('config, role, expected', [
    # transformers' CLIP ViT-B/16 has 149,620,737, of which 655,361 are projections and temperature.
    ('clip-vit-b16', 'backbone', 149_620_737 - 655_361),
    # 24 x (2·1024 + 1024·128 + 128 + 128·1024 + 1024) and 12 x (4·768 + 768·128 + 128 + 2·(128·768 + 768)).
    ('blip-vit-l', 'adapter', 24 * 265_344 + 12 * 299_648),
    ('blip-text_dinov2-b', 'adapter', 4_784_640),
])
def test_other_backbones(config, role, expected):
    from tools.analysis_tools.count_params import count as count_here
    assert count_here(str(ROOT / f'configs/uniadapter/{config}_msrvtt.py'), {})['by_role'][role] == expected
