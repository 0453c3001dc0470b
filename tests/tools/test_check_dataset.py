"""tools/analysis_tools/check_dataset.py: exit codes, reports, killed and resumed, a decoder that ends its process."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny_vlms
from tests.chat_layouts import CONTENTS, LAYOUTS, written
from tests.datasets.checking.check_files import add, good_config, write_lines
from tests.media import write_image
from vlpeft.engine import progress
from vlpeft.registry import READERS

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / 'tools/analysis_tools/check_dataset.py')
# An image reader that takes its time, and ends its process on one file as a broken decoder does.
READER = """
import ctypes, faulthandler, time
from vlpeft.datasets.readers import ImageReader
from vlpeft.registry import READERS

@READERS.register_module()
class SlowReader(ImageReader):

    def read(self, path, indices):
        time.sleep(0.03)
        if path.endswith('crash.png'):
            faulthandler.disable()
            ctypes.string_at(0)
        return super().read(path, indices)
"""


def start(folder, *arguments):
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)]))
    return subprocess.Popen(
        [sys.executable, TOOL, str(folder / 'config.py'), *map(str, arguments)],
        env=env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the tool in this process; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    main = runpy.run_path(TOOL)['main']

    def run_tool(*arguments):
        try:
            code = main([str(tmp_path / 'config.py'), *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run_tool
    READERS._module_dict.pop('SlowReader', None)
    sys.modules.pop('slow_reader', None)


def write_config(folder, cfg, more=''):
    (folder / 'config.py').write_text(more + ''.join(f'{key} = {value!r}\n' for key, value in cfg.items()))


def slow_config(folder, count):
    (folder / 'slow_reader.py').write_text(READER)
    for number in range(count):
        write_image(folder / f'{number}.png', seed=number)
    write_lines(folder / 'train.jsonl', [dict(image=f'{number}.png', caption=f'{number}') for number in range(count)])
    steps = [dict(type='LoadClip', image_reader=dict(type='SlowReader')), dict(type='PackSample')]
    cfg = dict(
        train_dataloader=dict(
            dataset=dict(type='JSONLRetrieval', data_root=str(folder), ann_file='train.jsonl', pipeline=steps)
        )
    )
    write_config(folder, cfg, "custom_imports = dict(imports=['slow_reader'])\n")


def report_of(folder):
    return json.loads((folder / 'report.json').read_text())


def test_exit_codes_and_reports(tmp_path, run):
    write_config(tmp_path, good_config(tmp_path, count=3))
    code, out, err = run()
    assert code == 0, err
    assert '6 files of 2 sets, 0 read before; work_dirs/config/dataset_check/report.html' in out
    add(tmp_path, 'train', image='<gone>.png', caption='x')
    code, out, err = run('--out', tmp_path / 'out', '--workers', 1)
    assert code == 1, err
    assert f'missing: {tmp_path}/<gone>.png: no such file' in out and '1  missing: files or features' in out
    report = report_of(tmp_path / 'out')
    assert report['counts'] == dict(missing=1) and report['files'] == 7
    assert report['findings'] == [
        dict(
            kind='missing',
            subject=f'{tmp_path}/<gone>.png',
            detail='no such file',
            sets=['train: JSONLRetrieval train.jsonl'],
            samples=1,
            first_sample=3,
        )
    ]
    page = (tmp_path / 'out/report.html').read_text()
    assert '&lt;gone&gt;.png' in page and '<gone>' not in page and '<script' not in page
    assert run('--out', tmp_path / 'out', '--ignore', 'missing')[0] == 0
    assert run('--out', tmp_path / 'out', '--splits', 'val', 'test', '--fast')[0] == 0
    assert 'existence, size and first bytes only' in (tmp_path / 'out/report.html').read_text()


def test_it_shows_how_far_it_is_and_what_it_has_found(tmp_path, run, monkeypatch):
    write_config(tmp_path, good_config(tmp_path, count=3))
    add(tmp_path, 'train', image='gone.png', caption='x')
    monkeypatch.setattr(progress, 'LINE_EVERY', 0.0)
    out = run('--out', tmp_path / 'out', '--workers', 1)[1]
    shown = [re.fullmatch(r'files  (\d)/7  ETA [\d:]+  (\d) findings', line) for line in out.splitlines()[:7]]
    assert [int(match[1]) for match in shown] == list(range(1, 8)) and shown[-1][2] == '1'
    # What was read before counts as done.
    add(tmp_path, 'train', image='gone too.png', caption='x')
    assert run('--out', tmp_path / 'out', '--workers', 1)[1].startswith('files  8/8  ETA 0:00:00  2 findings\n')


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--splits', 'dev'], "invalid choice: 'dev'"),
        (['--workers', '0'], '--workers must be at least 1, got 0'),
        (['--cfg-options', 'train_dataloader.dataset.type=JSONLRetreival'], 'JSONLRetreival'),
        (['--cfg-options', 'train_dataloader.dataset.max_unreadable=7'], 'max_unreadable must lie in [0, 1], got 7'),
        (['--cfg-options', 'train_dataloader=7'], "train_dataloader is neither a loader with a 'dataset' nor loaders"),
    ],
)
def test_wrong_arguments_and_configs_end_with_2(tmp_path, run, arguments, said):
    write_config(tmp_path, good_config(tmp_path, count=1))
    code, _, err = run(*arguments)
    assert code == 2 and said in err and 'Traceback' not in err


def test_a_decoder_that_ends_its_process_is_named_and_the_others_are_read(tmp_path, run):
    slow_config(tmp_path, count=8)
    for name in ('crash.png', '7.png'):
        write_image(tmp_path / name, seed=90)
    with open(tmp_path / 'train.jsonl', 'r+') as file:
        lines = file.readlines()
        file.seek(0)
        file.writelines([json.dumps(dict(image='crash.png', caption='x')) + '\n', *lines])
    code, out, err = run('--out', tmp_path / 'out', '--workers', 2)
    assert code == 1, err
    report = report_of(tmp_path / 'out')
    assert report['files'] == 9 and report['counts'] == dict(crash=1)
    assert report['findings'][0]['subject'] == str(tmp_path / 'crash.png')
    assert report['findings'][0]['detail'] == 'the process that decoded it ended with signal SIGSEGV'
    # Memory may have run out, so it is tried again.
    code, _, err = run('--out', tmp_path / 'out')
    assert code == 1 and report_of(tmp_path / 'out')['resumed'] == 8


def processes_of(folder):
    """Ids of the processes whose command line names the folder."""
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            if (
                str(folder).encode() in (entry / 'cmdline').read_bytes()
                and 'Z' not in (entry / 'stat').read_text().rsplit(')', 1)[1].split()[0]
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='looks for left-over processes in /proc')
def test_killed_at_any_moment_it_goes_on(tmp_path, run):
    slow_config(tmp_path, count=80)
    (tmp_path / '70.png').write_bytes((tmp_path / '70.png').read_bytes()[:500])
    (tmp_path / '3.png').unlink()
    journal = tmp_path / 'out/progress.jsonl'
    for at_least in (10, 35):
        process = start(tmp_path, '--out', tmp_path / 'out', '--workers', 2)
        limit = time.monotonic() + 90
        while not (journal.exists() and len(journal.read_bytes().splitlines()) >= at_least):
            assert process.poll() is None and time.monotonic() < limit, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        limit = time.monotonic() + 10
        while processes_of(tmp_path):  # the workers notice and end
            assert time.monotonic() < limit, 'workers live on'
            time.sleep(0.1)
        with open(journal, 'ab') as file:
            file.write(b'{"key": ["cut o')
    done = len(journal.read_bytes().splitlines()) - 1
    (tmp_path / '0.png').unlink()  # read before, changed since
    code, out, err = run('--out', tmp_path / 'out', '--workers', 2)
    assert code == 1, err
    report = report_of(tmp_path / 'out')
    assert 33 <= report['resumed'] == done - 1 < 80
    assert report['counts'] == dict(missing=2, unreadable=1)
    # The same as of a check that nothing stopped.
    run('--out', tmp_path / 'whole')
    assert dict(report_of(tmp_path / 'whole'), resumed=0) == dict(report, resumed=0)


def test_lengths_of_conversations_are_printed(run, tmp_path):
    tiny_vlms.picture().save(tmp_path / 'a.png')
    write_lines(tmp_path / 'chat.jsonl', [written(layout, *CONTENTS['one image'], tmp_path) for layout in LAYOUTS[:3]])
    pack = dict(type='PackChat', processor=tiny_vlms.processor('llava', tmp_path / 'processor'), max_length=34)
    dataset = dict(type='JSONLChat', data_root=str(tmp_path), ann_file='chat.jsonl', pipeline=[pack])
    write_config(tmp_path, dict(train_dataloader=dict(batch_size=1, dataset=dataset)))
    code, out, _ = run('--ignore', 'duplicate_record', '--workers', '1')
    assert code == 1
    assert (
        'tokens of train: JSONLChat chat.jsonl: 3 of 3 samples: shortest 35, half 35, 90 % 35, 99 % 35, longest 35; '
        'max_length 34\n'
    ) in out
    assert 'too_long: chat.jsonl: sample 0 a.png: 35 tokens, max_length is 34\n' in out
    page = (next(tmp_path.rglob('report.html'))).read_text()
    assert 'Tokens of conversations' in page and '<th>longest</th>' in page
    assert run('--ignore', 'duplicate_record', 'too_long', '--workers', '1')[0] == 0
