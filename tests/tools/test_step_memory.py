"""What a training step keeps: least with a side network, most where all weights train."""

import json

from tests.commands import run_script


def test_a_side_network_keeps_less_than_what_acts_inside():
    result = run_script(
        'tools/analysis_tools/measure_step_memory.py', '--model', 't5-tiny', '--batch-size', '2', '--json'
    )
    assert result.returncode == 0, result.stderr
    found = {record['method']: record['kept_mib'] for record in map(json.loads, result.stdout.splitlines())}
    assert list(found) == ['lst', 'lora', 'bottleneck', 'full']
    assert 0 < found['lst'] < found['lora'] < found['full']
