"""What stands on a model card, by the hub's own reader of cards, and by what the run really was."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
import torch
from huggingface_hub import ModelCard
from published_run import TOKEN, USER, publish, with_intervals

import vlpeft
from tests.workspace import ROOT, write_child
from vlpeft.apis.publishing.facts import paper
from vlpeft.apis.publishing.licences import licence
from vlpeft.apis.publishing.private import check_public, public_text, traces
from vlpeft.checkpoint.identity import base_identity
from vlpeft.registry import ADAPTERS, names_of


@pytest.fixture(scope='module')
def card(run, tmp_path_factory):
    """(card, text of its body by heading) of the run, published as a file."""
    folder = tmp_path_factory.mktemp('card')
    config, checkpoint, result = run
    result = with_intervals(result, folder / 'result.json')
    done = publish(checkpoint, folder / 'out/tiny.pth', '--result', result, '--licence', 'Apache-2.0')
    assert done.returncode == 0, done.stderr
    (path,) = (folder / 'out').glob('*.md')
    assert path.with_suffix('.pth').is_file() and f'card: {path}' in done.stdout
    card = ModelCard.load(path)
    parts = re.split(r'^## (.+)$', card.text, flags=re.MULTILINE)
    return card, dict(zip(parts[1::2], parts[2::2])), path


def cells(section: str) -> dict[str, list[str]]:
    """Rows of the tables of a section by their first cell."""
    rows = [[cell.strip(' `') for cell in line.strip('|').split(' | ')] for line in section.splitlines() if '|' in line]
    return {row[0]: row[1:] for row in rows}


def test_front_matter_is_what_the_hub_reads(card, run):
    data = card[0].data
    assert (data.library_name, data.license) == ('vlpeft', 'apache-2.0')
    assert data.base_model is None and data.datasets is None
    assert {'vlpeft', 'uniadapter', 'text-video-retrieval'} <= set(data.tags)
    metrics = json.loads(run[2].read_text())['metrics']
    found = {result.metric_name: result.metric_value for result in data.eval_results}
    assert found == pytest.approx(metrics)
    kinds = {result.metric_name: result.metric_type for result in data.eval_results}
    assert kinds['retrieval/t2v_R@10'] == 't2v_recall_at_10' and kinds['retrieval/t2v_MdR'] == 't2v_mdr'


def test_data_method_and_base_are_those_of_the_run(card, run):
    config, _, _ = run
    sections = card[1]
    data, root = cells(sections['Data']), config.parent
    digest = hashlib.sha256((root / 'data/train.jsonl').read_bytes()).hexdigest()
    assert data['train'] == ['JSONLRetrieval', '10', 'train.jsonl', digest]
    assert data['val'][1] == '7', 'clips'
    assert cells(sections['Method'])['bottleneck'] == ['4'] and 'Lu et al., "UniAdapter' in sections['Method']
    assert base_identity(root / 'base.pth')['sha256'] in sections['Base']
    model = vlpeft.get_model(config)
    counts = [sum(p.numel() for p in model.parameters() if p.requires_grad or not only) for only in (True, False)]
    assert f'{counts[0]:,} of {counts[1]:,} parameters' in card[0].text


def test_training_versions_and_commit_are_those_of_the_run(card):
    sections = card[1]
    training = cells(sections['Training'])
    assert training['steps'] == ['4 (2 epochs)'] and training['batch'] == ['4 (4 in a process, 1 process)']
    assert training['learning rate'] == ['0.003'] and training['seed'] == ['7'] and training['precision'] == ['float32']
    assert cells(sections['Versions'])['torch'] == [torch.__version__.partition('+')[0]] or (
        torch.__version__ in sections['Versions']
    )
    if (ROOT / '.git').exists():
        head = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        assert f'commit `{head}`' in sections['Versions']


def test_results_have_their_intervals(card, run):
    value = json.loads(run[2].read_text())['metrics']['retrieval/mean_R@1']
    row = cells(card[1]['Results'])['retrieval/mean_R@1']
    assert row == [f'{value:.2f}', f'{value - 2:.2f} to {value + 2:.2f}']


def test_the_lines_of_the_card_of_a_file_load_it(run, tmp_path, monkeypatch):
    config, checkpoint, _ = run
    assert publish(checkpoint, tmp_path / 'tiny.safetensors').returncode == 0
    (path,) = tmp_path.glob('*.md')
    (code,) = re.findall(r'```python\n(.+?)```', path.read_text(), re.DOTALL)
    assert len(code.splitlines()) == 3 and path.with_suffix('.safetensors').name in code
    shutil.copy(config, tmp_path / config.name)
    shutil.copytree(config.parent / 'data', tmp_path / 'videos')
    monkeypatch.chdir(tmp_path)
    there = {}
    exec(code, there)
    assert len(there['finder']) == 7 and len(there['finder'].search('a red square', top=3)) == 3


def test_nothing_personal_is_published(card, run, tmp_path):
    config, checkpoint, result = run
    recorded = torch.load(checkpoint)['meta']['cfg']
    assert TOKEN in recorded and USER in recorded, 'the run has something to hide'
    assert publish(checkpoint, '--hub-folder', tmp_path / 'out', '--result', result).returncode == 0
    texts = [path.read_bytes() for path in (tmp_path / 'out').rglob('*') if path.is_file()] + [card[2].read_bytes()]
    for secret in (TOKEN, USER, str(config.parent), str(tmp_path), '/home', 'LocalVisBackend'):
        assert not [text for text in texts if secret.encode() in text], secret


@pytest.mark.parametrize(
    'text, expected',
    [
        ('/home/anna/clips/train.jsonl', 'train.jsonl'),
        ('/home/anna', ''),
        ('~/clips', ''),
        (r'C:\Users\anna\train.jsonl', 'train.jsonl'),
        ('../../anna/train.jsonl', 'train.jsonl'),
        ('https://anna:secret@example.org/base.pth?signature=1', 'https://example.org/base.pth'),
        ('https://example.org/base.pth', 'https://example.org/base.pth'),
        ('data/msrvtt/', 'data/msrvtt/'),
        ('data/anna_clips', '(not published)'),
        ('/srv/anna.jsonl', '(not published)'),
        ('see /mnt/disk/x', '(not published)'),
        (f'token {TOKEN}', '(not published)'),
        ('{question}</a>', '{question}</a>'),
        ('mmpretrain.VisionTransformer', 'mmpretrain.VisionTransformer'),
        ('annotation', 'annotation'),
    ],
)
def test_texts_of_a_config_without_folders_and_names(text, expected):
    assert public_text(text, ['anna']) == expected


def test_what_is_left_and_tells_is_refused():
    check_public(dict(a=['fine', dict(b=1)]), {'anna'}, 'card')
    with pytest.raises(ValueError, match=r"card: a: b holds 'anna'"):
        check_public(dict(a=[dict(b='by anna')]), {'anna'}, 'card')
    assert not list(traces('1 and/or 2, https://example.org/data/x', ()))


def test_words_of_a_metric_and_kinds_of_it_are_told(run, tmp_path):
    content = json.loads(run[2].read_text())
    content['intervals'] = {}
    content['metrics'] = {'qa/type/how': 50.0, 'qa/type/what': 0.25, 'qa/tokenizer': 'python\n# Free'}
    (tmp_path / 'result.json').write_text(json.dumps(content))
    assert publish(run[1], tmp_path / 'out.pth', '--result', tmp_path / 'result.json').returncode == 0
    (path,) = tmp_path.glob('*.md')
    card = ModelCard.load(path)
    assert {one.metric_type: one.metric_value for one in card.data.eval_results} == dict(type_how=50, type_what=0.25)
    assert '`qa/tokenizer`: python # Free' in card.text


@pytest.mark.parametrize('change, message', [
    (dict(checkpoint='epoch_1.pth'), 'is a result of epoch_1.pth, and'),
    (dict(checkpoint='none'), 'is a result of none, and'),
    (dict(config='another.py'), 'the result is of the config another, and the run of config'),
    (dict(metrics={'retrieval/mean_R': float('nan')}), "metric 'retrieval/mean_R' is nan, no finite number"),
    (dict(intervals={'x': [0, 1]}), "an interval of 'x', and no such metric"),
    (dict(intervals={'retrieval/mean_R': [3, 1]}), r"is \[3, 1\], not \[low, high\]"),
    (dict(intervals=[1]), "'intervals' is no object"),
    (dict(predictions=[1]), "'predictions' is no object"),
    (dict(metrics={}), "it has no 'metrics' and 'checkpoint'"),
])  # fmt: skip
def test_a_result_that_contradicts_the_checkpoint_is_refused(run, tmp_path, change, message):
    content = json.loads(run[2].read_text())
    (tmp_path / 'result.json').write_text(json.dumps(dict(content, **change)))
    done = publish(run[1], tmp_path / 'out.pth', '--result', tmp_path / 'result.json')
    assert done.returncode == 1 and re.search(message, done.stderr), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def test_a_checkpoint_of_the_same_name_that_is_another_file(run, tmp_path):
    other = tmp_path / run[1].name
    shutil.copy(run[1].with_name('epoch_1.pth'), other)
    done = publish(other, tmp_path / 'out.pth', '--result', run[2])
    assert done.returncode == 1 and 'is a result of' in done.stderr


def test_a_config_that_contradicts_the_run_is_refused(run, tmp_path):
    config = write_child(tmp_path / 'config.py', run[0], adapter=dict(bottleneck=8))
    done = publish(run[1], tmp_path / 'out.pth', '--config', config)
    assert done.returncode == 1
    assert 'the run had model.adapter.bottleneck=4, the config has 8' in done.stderr


@pytest.mark.parametrize('change, message', [
    (dict(method='LoRA of a Retriever'), 'holds LoRA of a Retriever, and its config describes UniAdapter of a Retrie'),
    (dict(run=dict(parameters=dict(trained=5, total=16443))), 'records 5 trained parameters, and its config describes'),
    (dict(cfg='model = open("x")'), r'the config that it records is not plain \(line 1 calls open\)'),
    (dict(cfg='model = dict(type="os.system", command="x")'), r"model.type='os.system' is no registered name"),
    (dict(cfg='model = dict(type="MyOwn")'), 'MyOwn is not in the .* give the config that imports it with --config'),
    (dict(cfg=''), 'records no config of its run; give it with --config'),
])  # fmt: skip
def test_a_checkpoint_that_contradicts_itself_is_refused(run, tmp_path, change, message):
    checkpoint = torch.load(run[1])
    checkpoint['meta'].update(change)
    torch.save(checkpoint, tmp_path / 'run.pth')
    done = publish(tmp_path / 'run.pth', tmp_path / 'out.pth')
    assert done.returncode == 1 and re.search(message, done.stderr), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['run.pth']


def test_a_run_that_recorded_nothing_says_so(run, tmp_path):
    checkpoint = torch.load(run[1])
    del checkpoint['meta']['run'], checkpoint['meta']['cfg']
    torch.save(checkpoint, tmp_path / 'run.pth')
    assert publish(tmp_path / 'run.pth', tmp_path / 'out.pth', '--config', run[0]).returncode == 0
    (path,) = tmp_path.glob('*.md')
    text = path.read_text()
    assert 'does not record the config of its run' in text and 'Commit of the code: not recorded by the run.' in text
    assert '| train | `JSONLRetrieval` | not recorded by the run | `train.jsonl` | not recorded by the run |' in text


def test_a_licence_is_never_made_up(run, tmp_path):
    done = publish(run[1], tmp_path / 'out.pth')
    assert done.returncode == 0 and "the card says 'not stated; fill in' as licence" in done.stderr
    (path,) = tmp_path.glob('*.md')
    assert ModelCard.load(path).data.license is None and 'trained parts: not stated; fill in.' in path.read_text()
    done = publish(run[1], tmp_path / 'other.pth', '--licence', 'apache2')
    assert done.returncode == 1 and 'did you mean apache-2.0?' in done.stderr
    assert [licence(name) for name in ('MIT', 'CC-BY-4.0', 'GPL-3.0-only', 'other')] == [
        'mit',
        'cc-by-4.0',
        'gpl-3.0',
        'other',
    ]


def test_every_method_of_a_paper_names_it():
    ADAPTERS.import_from_location()
    without = {name for name in names_of(ADAPTERS) if paper(ADAPTERS.get(name)) is None}
    assert without <= {'ComposedAdapter', 'SiteProbe'}, without
    assert paper(ADAPTERS.get('LoRA')) == ('Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022')
