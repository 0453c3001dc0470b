"""The pages of docs/own_data are followed to the letter, on a few drawn files and recipes at tiny geometry."""

import json
import re
import shutil
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from tests import tiny_vlms
from tests.docs.following import Reader, masked
from tests.docs.markdown_pages import code_blocks, section, table_rows
from tests.own_data_workspace import VLM, write_own_data, write_recipe, write_several_tasks
from tests.workspace import ROOT
from vlpeft.registry import DATASETS

RECIPES = dict(
    retrieval='own_data/retrieval_uniadapter_blip-base.py',
    questions='own_data/questions_uniadapter_blip-base.py',
    captions='own_data/captions_vlpet-large_bart-base.py',
    chat='vlm/lora_qwen2.5-vl-3b_own-chat.py',
)
SETS = dict(retrieval='JSONLRetrieval', questions='JSONLQA', captions='JSONLCaption')
SAMPLES = 8
#: What the pages name that has to be downloaded, and what takes its place.
INSTEAD = {"'Qwen/Qwen2.5-VL-3B-Instruct'": 'TINY', 'num_workers=4': 'num_workers=0'}


#: Of the page with a config of its own, what makes that config tiny.
SMALLER = {
    "'vlpeft::_base_/models/vl_bart_online.py'": "'tiny_model.py'",
    'size=224': 'size=32',
    'batch_size=32': 'batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False',
    "dict(type='CaptionMetric')": "dict(type='CaptionMetric', tokenizer='python')",
    'bottleneck=96': 'bottleneck=4',
}


def page_of(task: str) -> str:
    return (ROOT / f'docs/own_data/{task}.md').read_text()


@pytest.fixture(scope='module')
def workspaces(tmp_path_factory) -> dict[str, Path]:
    """A folder for each task, made when it is first asked for."""

    class Workspaces(dict):
        def __missing__(self, task: str) -> Path:
            self[task] = write_own_data(tmp_path_factory.mktemp(task), task, SAMPLES)
            write_recipe(RECIPES[task], self[task])
            return self[task]

    return Workspaces()


def test_each_page_is_here():
    assert {path.stem for path in (ROOT / 'docs/own_data').glob('*.md')} == {*RECIPES, 'several_tasks'}


@pytest.mark.parametrize('task', RECIPES)
def test_the_page_is_followed(task, workspaces, monkeypatch):
    folder = workspaces[task]
    monkeypatch.chdir(folder)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    reader = Reader(folder, {**INSTEAD, "'Qwen/Qwen2.5-VL-3B-Instruct'": repr(str(folder / 'tiny'))})
    reader.follow(f'{task}.md', page_of(task))
    CHECKS[task](folder, reader)


@pytest.fixture
def several_tasks(tmp_path, monkeypatch) -> Reader:
    monkeypatch.chdir(write_several_tasks(tmp_path, SAMPLES))
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    return Reader(tmp_path, SMALLER, config=tmp_path / 'mine.py')


def test_the_page_on_several_tasks_is_followed(several_tasks):
    several_tasks.follow('several_tasks.md', page_of('several_tasks'))
    result = json.loads(Path('result.json').read_text())
    assert {name: len(rows) for name, rows in result['predictions'].items()} == {
        'vqa/open_ended': SAMPLES,
        'caption': SAMPLES,
    }
    figures = result['metrics']
    mean = (figures['vqa/open_ended/accuracy'] + figures['caption/CIDEr']) / 2
    assert figures['multi_task/mean'] == pytest.approx(mean)


WRONG_CONFIGS = [
    ('_delete_=True, ', ''),
    ("task='vqa'", "task='question'"),
    ('vqa/open_ended/accuracy', 'vqa/accuracy'),
    ('questions_train.jsonl', 'questions_train.jsonl'),
]


def test_what_goes_wrong_with_several_tasks(several_tasks):
    text = page_of('several_tasks')
    (config,) = [block for block in code_blocks(text, 'python') if '_base_' in block]
    several_tasks.follow('config', f'```python\n{config}```\n')
    right = several_tasks.config.read_text()
    told = messages('several_tasks')
    assert len(told) == len(WRONG_CONFIGS)
    for message, (old, new) in zip(told, WRONG_CONFIGS):
        assert old in right
        several_tasks.config.write_text(right.replace(old, new))
        if old == new:
            Path('data/own', old).unlink()
        before = len(several_tasks.printed)
        assert several_tasks.vlpeft('train', 'mine.py', '--cfg-options', 'train_cfg.max_epochs=1') == 1
        assert re.search(pattern_of(message), masked(several_tasks.printed[before:])), message


def check_retrieval(folder: Path, reader: Reader) -> None:
    rows = json.loads((folder / 'result.json').read_text())['predictions']['retrieval']
    assert [row['rank'] >= 1 and len(row['top']) > 0 for row in rows] == [True] * 2 * SAMPLES
    assert 'a red square' in (folder / 'found.html').read_text()
    found = re.findall(r'^-?\d+\.\d+  (\S+\.mp4)$', reader.printed, re.M)
    assert len(set(found)) == 3 and all(Path(path).is_file() for path in found)


def check_questions(folder: Path, reader: Reader) -> None:
    result = json.loads((folder / 'result.json').read_text())
    rows = result['predictions']['open_ended']
    right = [row['answer'] == truth for row, truth in zip(rows, ['red', 'green', 'blue'] * 3)]
    assert len(rows) == SAMPLES
    assert result['metrics']['open_ended/accuracy'] == pytest.approx(100 * sum(right) / SAMPLES)
    # The inferencer answers as the test did, and the command as the inferencer does.
    said = re.findall(r'^data/own/stills/test\d\.png  (\w+)  \d\.\d\d$', reader.printed, re.M)
    assert said == [row['answer'] for row in rows[:2]]


def check_captions(folder: Path, reader: Reader) -> None:
    rows = json.loads((folder / 'result.json').read_text())['predictions']['caption']
    written = {row['sample_id']: row['caption'] for row in rows}
    assert sorted(written) == [f'stills/test{i}.png' for i in range(SAMPLES)]
    for name in ('stills/test0.png', 'stills/test1.png'):
        assert f'\ndata/own/{name}  {written[name]}  0.' in reader.printed


def check_chat(folder: Path, reader: Reader) -> None:
    rows = [json.loads(line) for line in (folder / 'answers.jsonl').read_text().splitlines()]
    assert {row['file'] for row in rows} == {f'stills/test{i}.png' for i in range(SAMPLES)}
    assert (folder / 'my-lora/adapter_config.json').is_file()
    told = reader.scope['ask']('data/own/stills/test0.png', 'what colour is it ?').answer
    assert told == rows[0]['prediction'] and len(reader.scope['chat'].turns) == 4
    # The loader of the page gives batches of the size and with the texts that it says.
    init_default_scope('vlpeft')
    batch = next(iter(Runner.build_dataloader(reader.scope['train_dataloader'], seed=0)))
    assert len(batch['data_samples']) == 4


CHECKS = dict(retrieval=check_retrieval, questions=check_questions, captions=check_captions, chat=check_chat)


@pytest.mark.parametrize('task', SETS)
def test_lines_of_the_page_are_read(task, tmp_path):
    lines = ''.join(code_blocks(section(page_of(task), 'the-file'), 'json'))
    (tmp_path / 'lines.jsonl').write_text(lines)
    found = DATASETS.build(dict(type=SETS[task], ann_file=str(tmp_path / 'lines.jsonl'), pipeline=[]))
    captions = sum(
        max(1, len(json.loads(line).get('caption', [])) if '[' in line else 1) for line in lines.splitlines()
    )
    assert len(found) == captions >= 3


# ---------------------------------------------------------------------------------------- what goes wrong most often
def records(split: str) -> list[dict]:
    return [json.loads(line) for line in Path(f'data/own/{split}.jsonl').read_text().splitlines()]


def write(split: str, rows: list[dict]) -> None:
    Path(f'data/own/{split}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))


def change(split: str, number: int, **keys) -> None:
    """Changes a line; None takes a key away."""
    rows = records(split)
    rows[number] = {key: value for key, value in (rows[number] | keys).items() if value is not None}
    write(split, rows)


def misspell() -> None:
    row = records('train')[1]
    change('train', 1, captoin=row['caption'], caption=None)


def mix() -> None:
    Image.new('RGB', (32, 32)).save('data/own/clips/still.png')
    change('train', 1, video=None, image='clips/still.png')


def show_in_both() -> None:
    change('test', 0, video=records('train')[0]['video'])


def end_a_turn() -> None:
    said = records('train')[0]['messages']
    said[1]['content'] = 'red<|im_end|>'
    change('train', 0, messages=said)


def take_away() -> None:
    Path('data/own/train.jsonl').unlink()


def other_model() -> None:
    (config,) = Path('configs/vlm').glob('*.py')
    geometry = tiny_vlms.config(VLM)
    geometry['text_config']['rms_norm_eps'] = 0.5
    config.write_text(f"{config.read_text()}\nmodel['model'] = {geometry!r}\n")


TRAIN, CHECK = ['train'], ['check-data']
#: Of each page the rows of its table: how the data become wrong, and the command that says so.
FAULTS = dict(
    retrieval=[
        (take_away, TRAIN),
        (misspell, TRAIN),
        (lambda: Path('data/own/clips/train1.mp4').unlink(), TRAIN),
        (mix, TRAIN),
        (lambda: None, [*TRAIN, '--cfg-options', 'train_dataloader.batch_size=9']),
        (show_in_both, CHECK),
    ],
    questions=[
        (lambda: change('test', 0, answer='purple'), [*TRAIN, '--verbose', '--cfg-options', 'train_cfg.max_epochs=1']),
        (lambda: change('train', 0, answer=None), TRAIN),
        (lambda: change('test', 0, question=' '), TRAIN),
        (take_away, TRAIN),
    ],
    captions=[
        (lambda: change('train', 0, caption=''), TRAIN),
        (lambda: None, [*TRAIN, '--cfg-options', 'train_cfg.max_epochs=1']),
        (take_away, TRAIN),
    ],
    chat=[
        (lambda: change('train', 0, images=[]), TRAIN),
        (end_a_turn, TRAIN),
        (lambda: None, [*CHECK, '--cfg-options', 'train_dataloader.dataset.pipeline.0.max_length=20']),
        (other_model, TRAIN),
        (take_away, TRAIN),
    ],
)
CASES = [
    pytest.param(task, number, id=f'{task}-{number}')
    for task, faults in FAULTS.items()
    for number in range(len(faults))
]


def messages(task: str) -> list[str]:
    rows = table_rows(section(page_of(task), 'what-goes-wrong-most-often'))[1:]
    return [re.fullmatch(r'`(.*)`', row[0])[1] for row in rows]


def pattern_of(message: str) -> str:
    return '.*'.join(re.escape(part) for part in masked(message).split('…'))


@pytest.mark.parametrize('task', FAULTS)
def test_every_fault_of_the_page_is_tried(task):
    assert len(messages(task)) == len(FAULTS[task])


@pytest.mark.parametrize('task, number', CASES)
def test_what_goes_wrong_is_told_as_the_page_says(task, number, workspaces, tmp_path, monkeypatch):
    for part in ('data', 'configs'):
        shutil.copytree(workspaces[task] / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    spoil, (command, *options) = FAULTS[task][number]
    spoil()
    reader = Reader(tmp_path)
    reader.vlpeft(command, f'configs/{RECIPES[task]}', *options)
    wanted = pattern_of(messages(task)[number])
    assert re.search(wanted, masked(reader.printed)), f'{wanted}\n{reader.printed}'


def test_a_message_that_nothing_says_is_found():
    said = masked('error: data/own/train.jsonl:2: unknown key')
    assert re.search(pattern_of('data/own/train.jsonl:7: unknown …'), said)
    assert not re.search(pattern_of('data/own/train.jsonl:7: other …'), said)
