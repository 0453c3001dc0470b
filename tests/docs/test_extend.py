"""The examples of docs/extend run as they stand, outside of the repository, and print what the pages say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.docs.markdown_pages import FENCE
from tests.ports import free_port
from tests.workspace import ROOT
from vlpeft.checkpoint.safe_globals import register_safe_globals

#: The first command of every page that needs pictures, carried out once for all of them.
PICTURES = 'python $VLPEFT/tools/quickstart/make_stills.py pictures --train 64 --test 15 --texts 10 --workers 1\n'
#: A person's shell finds both commands in the environment that vlpeft is installed in.
COMMANDS = 'set -e\npython() { "$PYTHON" "$@"; }\nvlpeft() { python -m vlpeft "$@"; }\n'
#: Where the pages' example is, and what they leave out of what is printed.
HOME, ELLIPSIS = '/home/me/my_project', '…'


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('project')


def run(block: str, folder: Path) -> str:
    """What a block of commands prints. Its last line may say with which exit code it ends."""
    env = dict(os.environ, VLPEFT=str(ROOT), PYTHON=sys.executable, PYTHONPATH=str(ROOT), PORT=str(free_port()))
    env.update(CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1')
    done = subprocess.run(['bash', '-c', COMMANDS + block], cwd=folder, env=env, capture_output=True, text=True)
    expected = re.search(r'# ends with exit code (\d+)$', block.strip())
    assert done.returncode == int(expected[1] if expected else 0), done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def lines_of(text: str) -> list[str]:
    """Lines whose numbers and widths of columns may be others on another machine."""
    masked = re.sub(r'\d[\d,.:]*(e[+-]\d+)?', '#', text)
    return [' '.join(line.split()) for line in masked.splitlines() if line.strip()]


def follow(page: Path, folder: Path) -> str:
    """Does what a page says, block by block; all that it printed."""
    text, printed, everything = page.read_text(), '', ''
    for block in FENCE.finditer(text):
        body = block['body'].replace(HOME, str(folder))
        if block['language'] == 'python':
            name = re.search(r'\*\*`(\w+\.py)`\*\*\n\n$', text[: block.start()])
            (folder / name[1]).write_text(body)
        elif body == PICTURES and (folder / 'pictures').is_dir():
            continue
        elif block['language'] == 'bash':
            printed = run(body, folder)
            everything += printed
        else:
            assert block['language'] == 'text'
            missing = [line for line in lines_of(body) if line not in (ELLIPSIS, *lines_of(printed))]
            assert missing == [], f'{page.name} says what was not printed: {missing}\n{printed}'
    return everything


def trained_keys(checkpoint: Path) -> dict[str, torch.Tensor]:
    # A Trainer that resumed in this process has taken away what importing vlpeft had declared.
    register_safe_globals()
    return torch.load(checkpoint, weights_only=True)['state_dict']


def check_method(folder: Path, printed: str) -> None:
    first, last = (float(loss) for loss in re.findall(r'step \d+: loss ([\d.]+)', printed))
    assert last < 0.9 * first
    # T5: 2 blocks, the encoder's with k, v and the FFN's middle, the decoder's with k and v twice; widths 32 and 64.
    saved = load_file(folder / 'my-ia3/adapter_model.safetensors')
    assert sum(value.numel() for value in saved.values()) == 2 * (2 * 32 + 64) + 2 * (4 * 32 + 64)
    # BLIP: 3 blocks of width 96 and 384; texts have a cross-attention too. Its checkpoint has the heads as well.
    keys = trained_keys(folder / 'work_dirs/ia3_pictures/epoch_3.pth')
    factors = [value for key, value in keys.items() if key.startswith('adapter.')]
    assert sum(value.numel() for value in factors) == 3 * (2 * 96 + 384) + 3 * (4 * 96 + 384)
    assert all((value != 1).any() for value in factors)


def check_family(folder: Path, printed: str) -> None:
    assert 'every promise holds' in printed


def check_task(folder: Path, printed: str) -> None:
    keys = trained_keys(folder / 'work_dirs/background/epoch_5.pth')
    assert {key.partition('.')[0] for key in keys} == {'adapter', 'head'}
    result = json.loads((folder / 'answers.json').read_text())
    lines = (folder / 'pictures/background_test.jsonl').read_text().splitlines()
    truth = [json.loads(line)['answer'] for line in lines]
    answers = [row['answer'] for row in sorted(result['predictions']['open_ended'], key=lambda row: row['question_id'])]
    right = 100 * sum(map(str.__eq__, answers, truth)) / len(truth)
    assert result['metrics']['open_ended/accuracy'] == pytest.approx(right) and len(truth) == 15
    assert right > 80  # of three classes


def check_dataset(folder: Path, printed: str) -> None:
    keys = trained_keys(folder / 'work_dirs/clips/epoch_1.pth')
    assert {key.split('.')[0] for key in keys} >= {'itc_head', 'itm_head'}


def check_metric(folder: Path, printed: str) -> None:
    result = json.loads((folder / 'ranks.json').read_text())
    figures = result['metrics']
    for direction in ('t2v', 'v2t'):
        # The ranks as another metric kept them, and not more than there are queries, though each process had its share.
        ranks = [row['rank'] for row in result['predictions']['retrieval'] if row['direction'] == direction]
        assert len(ranks) == 15
        expected = 100 * sum(1 / rank for rank in ranks) / 15
        assert figures[f'reciprocal_rank/{direction}_MRR'] == pytest.approx(expected)
    assert len(result['predictions']['reciprocal_rank']) == 30
    mean = (figures['reciprocal_rank/t2v_MRR'] + figures['reciprocal_rank/v2t_MRR']) / 2
    assert figures['reciprocal_rank/mean_MRR'] == pytest.approx(mean)
    assert '2 processes' in printed


CHECKS = dict(family=check_family, method=check_method, task=check_task, dataset=check_dataset, metric=check_metric)


@pytest.mark.parametrize('name', CHECKS)
def test_the_example_runs(name, project):
    CHECKS[name](project, follow(ROOT / f'docs/extend/{name}.md', project))


def test_every_page_has_its_example():
    assert {page.stem for page in (ROOT / 'docs/extend').glob('*.md')} == set(CHECKS)
    for name in CHECKS:
        text = (ROOT / f'docs/extend/{name}.md').read_text()
        assert (PICTURES in text) == (name != 'family')
        example = max((block['body'] for block in FENCE.finditer(text) if block['language'] == 'python'), key=len)
        assert 25 <= len([line for line in example.splitlines() if line.strip()]) <= 75


FAULTY = """
from importlib import import_module

import constant
import torch
from vlpeft.testing import SUBJECTS, Subject, check_cell, check_family

print('constant:', check_cell(dict(type='MyIA3', targets={}), SUBJECTS['bart'], ['trains']).broken)
bottleneck = dict(bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}))
for name in ('unreached', 'misnamed'):
    toy = import_module(name)
    subject = Subject(toy.ToyEncoder, lambda batch: dict(ids=torch.arange(5 * batch).view(batch, 5)), lambda out: out)
    try:
        check_family(subject, bottleneck)
    except AssertionError as error:
        print(f'{name}:', ' '.join(str(error).split()))
"""


def test_the_checks_find_what_the_pages_warn_of(tmp_path):
    """Each example with one fault: factors that get no gradient, a tensor that never passes, a wrong path."""
    method, toy = (
        next(block['body'] for block in FENCE.finditer((ROOT / f'docs/extend/{name}.md').read_text()))
        for name in ('method', 'family')
    )
    faults = dict(
        constant=(method, 'value * self.weight', 'value * self.weight.detach()'),
        unreached=(toy, "h=Tap(f'{path}.out', 'output')", "h=Tap(f'{path}.spare', 'output')"),
        misnamed=(toy, "f'{path}.up'", "f'{path}.fc1'"),
    )
    for name, (text, right, wrong) in faults.items():
        assert right in text
        text = text.replace(right, wrong).replace('toy.ToyEncoder', f'{name}.ToyEncoder')
        # A module that no pass runs.
        text = text.replace(
            '        self.heads = heads\n', '        self.heads = heads\n        self.spare = nn.Identity()\n'
        )
        (tmp_path / f'{name}.py').write_text(text)
    (tmp_path / 'faulty.py').write_text(FAULTY)
    printed = run('python faulty.py', tmp_path)
    assert re.search(r'^constant: .*trains.*does not require grad', printed, re.M), printed
    assert re.search(r'^unreached: .*acts_everywhere.*sites never reached.*spare', printed, re.M), printed
    assert re.search(r'^misnamed: .*the family of misnamed.ToyEncoder does not fit.*fc1', printed, re.M), printed
