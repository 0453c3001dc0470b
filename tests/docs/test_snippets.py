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
from PIL import Image

from tests.commands import run_script
from tests.docs.following import Reader
from tests.docs.markdown_pages import FENCE, code_blocks, own_configs, pages, section, table_rows
from tests.docs.test_readme_attach import opt
from tests.own_data_workspace import write_own_data, write_recipe
from tests.workspace import ROOT
from vlpeft.engine.config_file import read_config
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


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (32, 32), (220, 30, 30)).save(path)


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
    write_picture(folder / 'photos/17.jpg')
    return Reader(folder, {f"'{CHAT}'": f"'configs/{CHAT}.py'"}, {'pip install -e .': INSTALLS})


def image_text(folder: Path) -> Reader:
    chat_folder(folder)
    return Reader(folder, {QWEN: str(folder / 'tiny')})


def draw_clips(folder: Path) -> None:
    """The quickstart's clips, but few."""
    counts = ['--train', 8, '--val', 4, '--test', 4, '--workers', 1]
    done = run_script('tools/quickstart/make_clips.py', folder / 'data/quickstart', *counts)
    assert done.returncode == 0, done.stderr


def quickstart(folder: Path) -> Reader:
    """A few clips; the recipes and the small base are those of the quickstart."""
    draw_clips(folder)
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


def answering_runs(folder: Path) -> dict[str, str]:
    """Runs with the names of the quickstart's: UniAdapter as it is, eP-ALM and VL-PET of recipes at tiny geometry.

    Returns:
        What takes the place of the names of their configs.
    """
    draw_clips(folder)
    trained = {
        'uniadapter': (str(ROOT / 'configs/quickstart/uniadapter.py'), 3),
        'questions_epalm': ('own_data/questions_epalm_opt-2.7b_vit-b.py', 4),
        'captions_vlpet': ('own_data/captions_vlpet-large_bart-base.py', 12),
    }
    instead = {'configs/quickstart/': f'{ROOT}/configs/quickstart/'}
    for name, (config, epochs) in trained.items():
        if not Path(config).is_absolute():
            write_own_data(folder, name.partition('_')[0], 4)
            config = instead[f'quickstart_{name}'] = str(write_recipe(config, folder))
        options = [f'train_cfg.max_epochs={epochs}', 'default_hooks.checkpoint.max_keep_ckpts=-1']
        words = ('train', config, '--work-dir', f'work_dirs/quickstart/{name}', '--cfg-options', *options)
        reader = Reader(folder)
        assert reader.vlpeft(*words) == 0, reader.printed
    for number in (0, 1):
        write_picture(folder / f'data/quickstart/pictures/images/test_000{number}.png')
    return instead


def readme(folder: Path) -> Reader:
    instead = answering_runs(folder)
    write_own_data(folder, 'retrieval', 8)
    write_recipe('own_data/retrieval_uniadapter_blip-base.py', folder)
    environment = ('python3 -m venv .venv', 'source .venv/bin/activate', 'pip install -e .')
    left_out = {**dict.fromkeys(environment, INSTALLS), 'vlpeft doctor': 'asks the network: tests/tools/test_doctor.py'}
    reader = Reader(folder, instead, left_out)
    reader.scope['model'] = opt()
    return reader


def inference(folder: Path) -> Reader:
    instead = answering_runs(folder)
    run = folder / 'work_dirs/quickstart/uniadapter'
    for number in (1, 3):
        (folder / f'epoch_{number}.pth').symlink_to(run / f'epoch_{number}.pth')
    (folder / 'videos').symlink_to(folder / 'data/quickstart/clips/videos')
    chat_folder(folder)
    for name in ('hinge', 'before', 'after', 'later', 'a'):
        write_picture(folder / f'{name}.jpg')
    (folder / 'photos').mkdir()
    write_picture(folder / 'photos/first.jpg')
    own = f'configs/{CHAT}.py'
    instead |= {f"'{CHAT}'": f"'{own}'", f' {CHAT} ': f' {own} ', 'models/qwen': 'tiny', 'my-lora': 'adapters/hinges'}
    talk = f'vlpeft chat {own} before.jpg after.jpg --checkpoint work_dirs/{CHAT}/epoch_1.pth'
    picture = 'data/quickstart/pictures/images/test_0000.png'
    left_out = {f'vlpeft ask {picture} what colour is the background?': WHOLE, f'vlpeft caption {picture}': WHOLE}
    left_out[talk] = 'it reads lines from a terminal (tests/tools/test_chat_command.py)'
    reader = Reader(folder, instead, left_out)
    assert reader.vlpeft('train', f'configs/{CHAT}.py') == 0
    for name in ('hinges', 'lids', 'wheels'):
        words = ('export', f'configs/{CHAT}.py', f'work_dirs/{CHAT}/epoch_1.pth', f'adapters/{name}')
        assert reader.vlpeft(*words, '--format', 'peft') == 0, reader.printed
    return reader


SETTINGS: dict[str, Callable[[Path], Reader]] = {
    'README.md': readme,
    'docs/faq.md': faq,
    'docs/inference.md': inference,
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
    first = {'README.md', 'docs/inference.md', 'docs/quickstart.md', 'docs/use_in_your_loop.md', 'docs/faq.md'}
    for page in pages():
        name = page.relative_to(ROOT).as_posix()
        text = page.read_text()
        snippets = [block for block in code_blocks(text, 'python') if block not in own_configs(text)]
        if snippets and (name in first or name.startswith(('docs/tasks/', 'docs/own_data/'))):
            assert name in SETTINGS or any(Path(name).match(pattern) for pattern in ELSEWHERE), name
    assert all((ROOT / 'tests/docs' / name).is_file() for name in ELSEWHERE.values())


def test_runs_of_the_papers_are_those_of_the_recipes():
    """Processes times batch is what the rate belongs to, where a recipe says that number."""
    rows = table_rows(section((ROOT / 'docs/reproducing.md').read_text(), 'the-runs'))[1:]
    seen = 0
    for names, _, sizes, epochs, rate in rows:
        before, _, rest = names.strip('`').partition('{')
        choices, _, after = rest.partition('}')
        for choice in choices.split(','):
            cfg = read_config(ROOT / 'configs' / f'{before}{choice}{after}')
            processes, batch = map(int, re.match(r'(\d+) × (\d+)', sizes).groups())
            assert cfg.train_dataloader.batch_size == batch, names
            assert cfg.get('auto_scale_lr', {}).get('base_batch_size', processes * batch) == processes * batch, names
            assert (cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr) == (int(epochs), float(rate)), names
            tasks = re.findall(r'(\w+) (\d+)', sizes.partition('(')[2])
            given = (cfg.train_dataloader.get('batch_sampler') or {}).get('batch_sizes', {})
            assert [int(size) for _, size in tasks] == [given[task] for task in list(given)[1:]], names
            seen += 1
    assert seen == 15


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
