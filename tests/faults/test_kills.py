"""Runs that are killed, or whose disk is full, at any moment: what is resumed ends like the uninterrupted run."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.resuming import assert_same, outcome
from tests.workspace import ROOT, write_workspace

MOMENTS, SLOW_MOMENTS = 5, 60
# The first save: its manifest, its file and the pointer to it.
EXACT = range(1, 12)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A retriever on seven clips: two epochs of two batches, validated after each."""
    folder = tmp_path_factory.mktemp('kills')
    write_workspace(folder)
    return folder


def run_jobs(folder: Path, jobs: list) -> dict:
    """What became of the jobs, by name; see tests/faults/forked.py."""
    (folder / 'jobs.json').write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, '-m', 'tests.faults.forked', str(folder), str(folder / 'jobs.json')],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=1500,
    )
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    assert len(results) == len(jobs), done.stderr
    return {result['name']: dict(result, stderr=done.stderr) for result in results}


@pytest.fixture(scope='module')
def whole(folder):
    """The uninterrupted run, and its seconds."""
    result = run_jobs(folder, [dict(name='whole')])['whole']
    assert (result['ended'], result['goes']) == (0, 1), result
    return outcome(folder / 'whole'), result['seconds']


def assert_ends_alike(folder: Path, whole: dict, results: dict) -> None:
    for name, result in results.items():
        assert result['status'] == 0, result
        assert_same(outcome(folder / name), whole, name)
        assert not list((folder / name).glob('.writing-*')), name


def test_killed_at_exact_points_of_a_save(folder, whole):
    """Before each of the 11 first calls that change files: those of one save, its manifest and its pointer included."""
    results = run_jobs(folder, [dict(name=f'call{call}', kill=dict(call=call)) for call in EXACT])
    assert all(result['ended'] == -9 for result in results.values()), results
    assert_ends_alike(folder, whole[0], results)


@pytest.mark.slow
def test_killed_before_every_call_that_changes_files(folder, whole):
    """As far as there are calls."""
    results, call = {}, 12
    while True:
        batch = run_jobs(
            folder, [dict(name=f'later{number}', kill=dict(call=number)) for number in range(call, call + 10)]
        )
        results.update(batch)
        call += 10
        if any(result['ended'] == 0 for result in batch.values()):
            break
    assert sum(result['ended'] == -9 for result in results.values()) > 20
    assert_ends_alike(folder, whole[0], results)


@pytest.mark.parametrize('moments', [MOMENTS, pytest.param(SLOW_MOMENTS, marks=pytest.mark.slow)])
def test_killed_at_random_moments(folder, whole, moments):
    draw = random.Random(moments)
    seconds = [draw.uniform(0.05, whole[1]) for _ in range(moments)]
    results = run_jobs(
        folder,
        [dict(name=f'moment{moments}_{number}', kill=dict(seconds=value)) for number, value in enumerate(seconds)],
    )
    assert_ends_alike(folder, whole[0], results)


def test_a_full_disk_ends_the_run_and_loses_nothing(folder, whole):
    """Files cannot grow beyond half a checkpoint: the operating system refuses, as it does when a disk is full."""
    size = min(path.stat().st_size for path in (folder / 'whole').glob('epoch_*.pth'))
    result = run_jobs(folder, [dict(name='full', kill=dict(file_bytes=size // 2))])['full']
    assert result['ended'] == 1 and 'File too large' in result['stderr']
    assert not [name for name in result['left'] if name.endswith('.pth') or name.startswith('.writing-')]
    assert_ends_alike(folder, whole[0], dict(full=result))
