"""Benchmarks at their smallest: what they compare is compared, and their records make the table."""

import json
from pathlib import Path

import pytest

from tests.commands import run_script
from vlpeft.analysis.flops import build
from vlpeft.benchmarks import entries
from vlpeft.benchmarks.entries import Entry, Row
from vlpeft.benchmarks.records import BEGIN, END, BenchmarkError, put_table, table
from vlpeft.engine.launch import load_config

ROOT = Path(__file__).parents[2]
TOOLS = 'tools/analysis_tools'


def printed(tool, *arguments):
    """Objects of a tool's ``--json``."""
    result = run_script(f'{TOOLS}/{tool}.py', *arguments, '--json')
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{')]


def test_readers_read_the_same_frames():
    small = ['--videos', 2, '--seconds', 2, '--size', 64, 48, '--images', 3, '--pixels', 32, '--passes', 1]
    (found,) = printed('benchmark_readers', *small, '--workers', 0, 1)
    assert not found['missing'] and set(found['versions']) == {'decord', 'pyav'}
    assert [(row['reader'], row['workers']) for row in found['rows']] == [
        ('decord', 0),
        ('decord', 1),
        ('pyav', 0),
        ('pyav', 1),
        ('image', 0),
        ('image', 1),
    ]
    assert all(0 < row['slowest'] <= row['per_second'] <= row['fastest'] for row in found['rows'])
    # The noise of neighbouring frames differs by 20 on average.
    assert found['frames_differ_by'] < 3


def test_starts_import_no_more_than_they_need():
    (found,) = printed('benchmark_startup', '--rounds', 1, '--starts', 'python', 'import torch', 'vlpeft --help')
    rows = {row['start']: row for row in found['rows']}
    assert rows['python']['imports'] == rows['vlpeft --help']['imports'] == []
    assert rows['import torch']['imports'] == ['torch']
    assert rows['python']['seconds'] < rows['import torch']['seconds']


def test_a_checkpoint_holds_what_trains_alone():
    (found,) = printed('benchmark_checkpoints', '--configs', 'quickstart/uniadapter', '--rounds', 1)
    model = build(load_config(str(ROOT / 'configs/quickstart/uniadapter.py')).model)
    trained = sum(4 * param.numel() for param in model.parameters() if param.requires_grad)
    whole = sum(tensor.numel() * tensor.itemsize for tensor in model.state_dict().values())
    assert found['same'] and found['bytes']['whole'] == pytest.approx(whole, rel=0.05)
    # Momentum copies, and features of the queue, are as trained as the weights.
    assert 2 * trained < found['bytes']['trained'] < found['bytes']['whole'] < 20 * found['bytes']['trained']


def rows_of(records):
    yield Row('a checkpoint', f'{records[0]["share"]:.3f}', records[0]['config'])


def entry(name, config):
    return Entry(name, 'benchmark_checkpoints', ('--configs', config, '--rounds', '1'), 0.1, rows_of)


def test_a_stopped_run_goes_on_and_settings_that_change_run_again(tmp_path, monkeypatch):
    good, bad = entry('good', 'quickstart/uniadapter'), entry('bad', 'no/such')
    monkeypatch.setattr(entries, 'ENTRIES', [bad, good])
    first = run_script(f'{TOOLS}/run_benchmarks.py', '--out', tmp_path)
    assert first.returncode == 1 and 'error: bad: ' in first.stderr
    assert '2 of 2 benchmarks to run' in first.stdout and '2/2 good: python tools/' in first.stdout
    record = json.loads((tmp_path / 'good.json').read_text())
    assert record['command'][1:3] == ['--configs', 'quickstart/uniadapter'] and record['commit']
    assert not (tmp_path / 'bad.json').exists()

    again = run_script(f'{TOOLS}/run_benchmarks.py', '--out', tmp_path, '--only', 'good')
    assert again.returncode == 0 and '0 of 1 benchmarks to run' in again.stdout
    assert json.loads((tmp_path / 'good.json').read_text()) == record
    page = (tmp_path / 'README.md').read_text()
    assert f'| a checkpoint | {record["results"][0]["share"]:.3f} | quickstart/uniadapter |' in page
    assert page.endswith('Not run: bad.\n')

    monkeypatch.setattr(entries, 'ENTRIES', [entry('good', 'quickstart/heads')])
    changed = run_script(f'{TOOLS}/run_benchmarks.py', '--out', tmp_path / 'none', '--table')
    assert changed.returncode == 1 and 'has no records of benchmarks' in changed.stderr
    with pytest.raises(BenchmarkError, match='no records of benchmarks with their present settings'):
        table(tmp_path)


def test_an_unknown_benchmark_is_refused():
    result = run_script(f'{TOOLS}/run_benchmarks.py', '--out', 'x', '--only', 'lora_lama')
    assert (
        result.returncode == 2
        and "there is no benchmark 'lora_lama'; there are steps_video, steps_image" in result.stderr
    )


def test_a_table_goes_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    put_table(page, 'new\n')
    put_table(page, 'new\n')
    assert page.read_text() == f'before\n{BEGIN}\n\nnew\n\n{END}\nafter\n'
    page.write_text('none')
    with pytest.raises(BenchmarkError, match='page.md has no place for the table'):
        put_table(page, 'new')


def test_an_evaluation_matches_the_pairs_that_its_candidates_make():
    small = ['--tiny', '--clips', 6, '--frames', 2, '--k', 2]
    (found,) = printed('benchmark_retrieval_evaluation', 'uniadapter/blip_msrvtt', *small)
    # Two candidates of each of 12 queries; a pair may be one for both of its sides.
    assert 12 <= found['pairs'] <= 24 and found['device'] == 'cpu'
    assert found['share_of_product'] == pytest.approx(found['tflop_per_s'] / found['product_tflop_per_s'])
    assert found['tflop_per_s'] == pytest.approx(found['tflop'] / found['seconds'])
    refused = run_script(f'{TOOLS}/benchmark_retrieval_evaluation.py', 'vl_pet/vlpet-large_bart-base_vqa')
    assert refused.returncode == 1 and 'its model is no Retriever with a matching head' in refused.stderr


def test_decoding_with_a_cache_gives_the_same_logits():
    small = ['--size', 'tiny', '--captions', 2, '--tokens', 4, '--beams', 1, 2, '--repeat', 2]
    found = printed('benchmark_cached_decoding', *small)
    assert [(row['visual_row'], row['beams']) for row in found] == [
        ('causal', 1),
        ('causal', 2),
        ('full', 1),
        ('full', 2),
    ]
    assert all(row['logits_differ_by'] < 1e-4 for row in found)
    assert all(row['ratio']['low'] <= row['ratio']['high'] for row in found)


def test_steps_with_lora_begin_with_the_loss_of_peft():
    (found,) = printed('benchmark_lora', '--model', 'llama', '--length', 8, '--batch-size', 1, '--pairs', 2)
    # A (8, in) and B (out, 8) of four square maps of 512 in 8 blocks.
    assert found['trained'] == [8 * 4 * 2 * 8 * 512] * 2
    assert found['losses_differ_by'] < 1e-5 and found['ratio']['low'] <= found['ratio']['high']


def test_the_table_of_the_page_is_that_of_the_stored_records(tmp_path):
    root = Path(__file__).parents[2]
    page = tmp_path / 'performance.md'
    page.write_text((root / 'docs/performance.md').read_text())
    done = run_script(f'{TOOLS}/run_benchmarks.py', '--out', root / 'docs/benchmarks', '--table', '--page', page)
    assert done.returncode == 0, done.stderr
    assert page.read_text() == (root / 'docs/performance.md').read_text()
