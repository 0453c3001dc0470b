"""What the pages tell a reader to type exists: commands, options, configs, and configs of one's own."""

import re
import shlex
import sys
from functools import cache
from pathlib import Path
from runpy import run_path

import pytest

from tests.docs.markdown_pages import FENCE, own_configs, pages, section, table_rows
from tests.workspace import ROOT
from vlpeft.cli import COMMANDS
from vlpeft.engine.config_file import read_config
from vlpeft.zoo.config_names import find_config
from vlpeft.zoo.folder import ZooError

PAGES = pages()
#: Words that stand for what a reader puts there.
PLACE = re.compile(r'[A-Z_]{2,}|.*[…{}*\[\]].*')


def commands(page: Path) -> list[list[str]]:
    """Command lines of a page's blocks that call vlpeft, a tool or a script, as words."""
    found = []
    for block in FENCE.finditer(page.read_text()):
        if block['language'] in ('', 'bash', 'console'):
            for line in map(str.strip, block['body'].replace('\\\n', ' ').splitlines()):
                words = re.match(r'(?:[A-Z_]+=\S+ +)*(vlpeft |python tools/|bash tools/)', line)
                if words:
                    found.append(shlex.split(re.split(r'\s[|>&]', line[words.start(1) :])[0], comments=True))
    return found


def tool_of(words: list[str]) -> tuple[Path, list[str]]:
    """The tool that a command calls, and its arguments."""
    if words[0] == 'vlpeft':
        command = COMMANDS.get(words[1])
        return ROOT / 'tools' / (command.tool if command else words[1]), words[2:]
    return ROOT / words[1], words[2:]


@cache
def options_of(tool: Path) -> set[str]:
    """Options that a tool's help lists."""
    text = tool.read_text()
    if tool.suffix == '.sh':
        wrapped = re.findall(r'tools/(\w+\.py)', text)
        return set().union(*(options_of(ROOT / 'tools' / name) for name in wrapped)) if wrapped else set()
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tool.parent)
        patch.setattr(sys, 'argv', [str(tool), '--help'])
        patch.setattr('argparse.ArgumentParser._print_message', lambda self, text, file=None: printed.append(text))
        with pytest.raises(SystemExit):
            run_path(str(tool), run_name='__main__')
    return set(re.findall(r'(?<![\w-])--?[a-z][\w-]*', ''.join(printed)))


def faults(page: Path) -> list[str]:
    """Commands, options and configs on a page that there are not."""
    wrong = []
    for words in commands(page):
        if words[1].startswith('--') or PLACE.fullmatch(words[1]):
            continue
        tool, arguments = tool_of(words)
        if not tool.is_file():
            wrong.append(f'{words[1]}: no such tool')
            continue
        given = [word.lstrip('[').split('=')[0].rstrip(']') for word in arguments]
        options = [word for word in given if re.fullmatch(r'--[a-z][\w-]*', word)]
        # What run_tests.sh is given goes to pytest.
        if tool.name != 'run_tests.sh':
            wrong += [f'{words[1]}: no {option}' for option in options if option not in options_of(tool)]
        for word in arguments:
            if re.match(r'(configs/|vlpeft::)', word) and not PLACE.fullmatch(word):
                try:
                    find_config(word)
                except ZooError as error:
                    wrong.append(str(error))
    return wrong


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_exist(page):
    assert faults(page) == []


def test_the_table_of_commands_has_each_with_its_tool():
    rows = table_rows(section((ROOT / 'docs/tools.md').read_text(), 'the-command-vlpeft'))[1:]
    told = {re.match(r'`vlpeft ([\w-]+)', command)[1]: tool.strip('`') for command, tool, _ in rows}
    assert told == {name: f'tools/{command.tool}' for name, command in COMMANDS.items()}


def test_wrong_commands_are_found(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        '```bash\nvlpeft trian CONFIG\nvlpeft show \\\n    uniadapter/blip_msrvtt --recipes > mine.py\n'
        'PORT=1 python tools/tran.py CONFIG  # a comment\nvlpeft train configs/uniadapter/blip_msrvt.py\n```\n'
    )
    found = faults(page)
    assert found[:3] == ['trian: no such tool', 'show: no --recipes', 'tools/tran.py: no such tool']
    assert len(found) == 4 and 'configs/uniadapter/blip_msrvt.py' in found[3]


OWN_CONFIGS = [
    pytest.param(block, id=f'{page.stem}-{number}')
    for page in PAGES
    for number, block in enumerate(own_configs(page.read_text()))
]


@pytest.mark.parametrize('block', OWN_CONFIGS)
def test_configs_of_ones_own_are_read(block, tmp_path):
    (tmp_path / 'mine.py').write_text(block)
    cfg = read_config(tmp_path / 'mine.py')
    assert cfg.model.type and cfg.train_dataloader.dataset.type


def test_parts_of_own_configs_fit_together(tmp_path):
    text = section((ROOT / 'docs/own_data.md').read_text(), 'another-place-another-method-another-backbone')
    rows = table_rows(text)[1:]
    assert len(rows) == 5
    for number, row in enumerate(rows):
        bases = ', '.join(f"'vlpeft::_base_/{cell.strip('`')}'" for cell in row[1:])
        (tmp_path / f'mine{number}.py').write_text(f'_base_ = [{bases}]\n')
        cfg = read_config(tmp_path / f'mine{number}.py')
        assert cfg.model.type and cfg.train_dataloader and cfg.optim_wrapper and cfg.default_hooks


def test_checkpoints_are_those_of_the_last_epoch():
    wrong = []
    for text in [*PAGES, *(ROOT / 'tools').rglob('*.py')]:
        for run, epoch in re.findall(r'work_dirs/([\w./-]+)/epoch_(\d+)\.pth', text.read_text()):
            config = ROOT / f'configs/{run}.py'
            if config.is_file() and int(epoch) != (last := read_config(config).train_cfg.max_epochs):
                wrong.append(f'{text.relative_to(ROOT)}: {run} ends with epoch_{last}.pth, not epoch_{epoch}.pth')
    assert wrong == []
