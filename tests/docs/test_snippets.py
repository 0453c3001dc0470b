"""What a reader copies from the first pages runs: Python and Bash blocks, on tiny data and models.

Each page has a setting: a folder that is prepared for it, what takes the place of files and models that would have to
be downloaded, and the commands that are not run, with the reason.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

from tests.commands import run_script
from tests.docs.following import Reader
from tests.docs.markdown_pages import FENCE, code_blocks, own_configs, pages
from tests.own_data_workspace import write_own_data, write_recipe
from tests.workspace import ROOT
from vlpeft.registry import MODELS

QWEN = 'Qwen/Qwen2.5-VL-3B-Instruct'
CHAT = 'vlm/lora_qwen2.5-vl-3b_own-chat'
INSTALLS = 'installs packages'
PROCESSES = 'several processes: tests/integration/test_distributed.py and tests/tools/test_launch.py start them'
WHOLE = 'the whole quickstart: tests/integration/test_quickstart_margin.py and test_quickstart_answers.py run it'


def chat_folder(folder: Path, epochs: int = 1) -> str:
    """Conversations and a tiny Qwen; the path of its checkpoint once it has trained."""
    write_own_data(folder, 'chat', 8)
    config = write_recipe(f'{CHAT}.py', folder)
    kept = f'\ntrain_cfg["max_epochs"] = {epochs}\ndefault_hooks["checkpoint"]["max_keep_ckpts"] = -1\n'
    config.write_text(config.read_text() + kept)
    return f'work_dirs/{CHAT}/epoch_1.pth'


def faq(folder: Path) -> Reader:
    checkpoint = chat_folder(folder)
    reader = Reader(
        folder,
        dict(CONFIG=f'configs/{CHAT}.py', CHECKPOINT=checkpoint),
        {f'vlpeft dist-train configs/{CHAT}.py 8 --auto-scale-lr': PROCESSES},
    )
    assert reader.vlpeft('train', f'configs/{CHAT}.py') == 0
    return reader


def performance(folder: Path) -> Reader:
    chat_folder(folder)
    return Reader(folder, dict(CONFIG=f'configs/{CHAT}.py'))


def adapt_qwen(folder: Path) -> Reader:
    chat_folder(folder, epochs=4)
    return Reader(folder, left_out={'pip install -e .': INSTALLS})


def image_text(folder: Path) -> Reader:
    chat_folder(folder)
    return Reader(folder, {QWEN: str(folder / 'tiny')})


def quickstart(folder: Path) -> Reader:
    """A few clips; the recipes and the small base are those of the quickstart."""
    counts = ['--train', 16, '--val', 4, '--test', 4, '--workers', 1]
    done = run_script('tools/quickstart/make_clips.py', folder / 'data/quickstart', *counts)
    assert done.returncode == 0, done.stderr
    left_out = {
        'bash tools/quickstart.sh': WHOLE,
        'bash tools/quickstart.sh captions': WHOLE,
        'bash tools/quickstart.sh questions': WHOLE,
        'python tools/quickstart/make_stills.py data/quickstart/pictures': WHOLE,
        'python tools/quickstart/pretrain_lm.py configs/quickstart/_captions_.py data/quickstart/pictures/captions.txt '
        'work_dirs/quickstart/bart': WHOLE,
        'python tools/train.py configs/quickstart/captions_vlpet.py '
        '--work-dir work_dirs/quickstart/captions_vlpet': WHOLE,
    }
    (folder / 'configs').symlink_to(ROOT / 'configs')
    return Reader(folder, dict(epoch_N='epoch_3'), left_out)


SETTINGS: dict[str, Callable[[Path], Reader]] = {
    'docs/faq.md': faq,
    'docs/performance.md': performance,
    'docs/quickstart.md': quickstart,
    'docs/tasks/adapt_qwen_vl.md': adapt_qwen,
    'docs/tasks/image_text.md': image_text,
}


@pytest.mark.parametrize('page', SETTINGS)
def test_the_page_is_followed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    text = (ROOT / page).read_text()
    for config in own_configs(text):  # tests/docs/test_commands.py reads them
        text = text.replace(f'```python\n{config}```', '')
    reader = SETTINGS[page](tmp_path)
    reader.follow(page, text)
    if page in CHECKS:
        CHECKS[page](tmp_path, reader)


def check_image_text(folder: Path, reader: Reader) -> None:
    init_default_scope('vlpeft')
    model = MODELS.build(reader.scope['model'])
    assert {name.partition('.')[0] for name in model.declared} == {'adapter', 'vlm'}  # LoRA, and the connector


def check_adapt_qwen(folder: Path, reader: Reader) -> None:
    assert (folder / 'my-qwen/config.json').is_file()
    shown = code_blocks((ROOT / 'docs/tasks/adapt_qwen_vl.md').read_text(), 'json')[1]
    row = json.loads((folder / 'answers.jsonl').read_text().splitlines()[0])
    assert row.keys() == json.loads(shown).keys()


def check_performance(folder: Path, reader: Reader) -> None:
    every, upper = (float(size) for size in re.findall(r'^blocks \d+ to \d+: ([\d.]+) MiB', reader.printed, re.M))
    assert upper < every / 2  # a third of the blocks, and what the output embeddings keep


CHECKS = {
    'docs/performance.md': check_performance,
    'docs/tasks/adapt_qwen_vl.md': check_adapt_qwen,
    'docs/tasks/image_text.md': check_image_text,
}

#: Pages whose Python blocks other tests run.
ELSEWHERE = {
    'docs/extend/*': 'test_extend.py',
    'docs/own_data/*': 'test_own_data_pages.py',
    'docs/towers.md': 'test_towers_page.py',
    'docs/use_in_your_loop.md': 'test_use_in_your_loop.py',
}


def test_every_first_page_with_python_is_followed():
    first = {'docs/quickstart.md', 'docs/use_in_your_loop.md', 'docs/faq.md'}
    for page in pages():
        name = page.relative_to(ROOT).as_posix()
        text = page.read_text()
        snippets = [block for block in code_blocks(text, 'python') if block not in own_configs(text)]
        if snippets and (name in first or name.startswith(('docs/tasks/', 'docs/own_data/'))):
            assert name in SETTINGS or any(Path(name).match(pattern) for pattern in ELSEWHERE), name
    assert all((ROOT / 'tests/docs' / name).is_file() for name in ELSEWHERE.values())


def test_variables_of_the_page_on_several_processes_are_those_of_the_scripts():
    text = (ROOT / 'docs/distributed.md').read_text()
    blocks = ''.join(match['body'] for match in FENCE.finditer(text) if match['language'] == 'bash')
    scripts = ''.join((ROOT / f'tools/{name}.sh').read_text() for name in ('dist_train', 'slurm_train', 'slurm_test'))
    named = set(re.findall(r'^\s*((?:[A-Z_]+=\S+ )+)', blocks, re.M))
    named = {name for words in named for name in re.findall(r'([A-Z_]+)=', words)} | set(
        re.findall(r'^\| `([A-Z_]+)`', text, re.M)
    )
    assert {'NNODES', 'NODE_RANK', 'GPUS', 'STOP_BEFORE'} <= named
    assert [name for name in sorted(named) if f'${{{name}:-' not in scripts] == []
