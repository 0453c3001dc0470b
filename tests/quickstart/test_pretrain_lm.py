"""Small language models from text alone: a normal folder of transformers that the task models load."""

import json
from random import Random

import pytest
import torch
from quickstart_tools import ROOT, TOOLS, run_process, run_tool
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from vlpeft.datasets.drawn.questions import ask_circles, draw_circles, state_circles
from vlpeft.engine.config_file import read_config
from vlpeft.registry import MODELS

SUBJECTS = {'captions': AutoModelForSeq2SeqLM, 'questions': AutoModelForCausalLM}


def texts(subject, count=64):
    rng = Random(0)
    scenes = [draw_circles(rng) for _ in range(count)]
    if subject == 'captions':
        return [state_circles(scene) for scene in scenes]
    return [
        f'{state_circles(scene)}. {question}</a>{answer}'
        for scene in scenes
        for question, answer in ask_circles(scene, rng)
    ]


@pytest.fixture(scope='module', params=SUBJECTS)
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    lines = texts(request.param)
    (folder / 'lines.txt').write_text('\n'.join(lines) + '\n')
    config = ROOT / f'configs/quickstart/_{request.param}_.py'
    run = run_process if request.param == 'captions' else run_tool
    done = run('pretrain_lm.py', config, folder / 'lines.txt', folder / 'lm', '--steps', 12, '--batch', 16)
    assert done.returncode == 0, done.stderr
    return request.param, config, lines, folder / 'lm'


def test_one_token_a_word(base):
    subject, _, lines, folder = base
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = lines[0].replace('?', ' ?').replace('. ', ' . ').replace('</a>', ' </a> ').split()
    ids = tokenizer(lines[0])['input_ids']
    assert tokenizer.convert_ids_to_tokens(ids) == ['<s>', *words, '</s>']
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == words
    assert tokenizer('a zebra')['input_ids'][2] == tokenizer.unk_token_id == 3
    assert tokenizer('<mask>', add_special_tokens=False)['input_ids'] == [tokenizer.mask_token_id] == [4]


def test_the_task_model_takes_it_as_its_base(base):
    subject, config, _, folder = base
    lm = SUBJECTS[subject].from_pretrained(folder)
    model = dict(read_config(config).model, vocabulary=str(folder), base_checkpoint=None)
    if subject == 'questions':
        model['adapter'] = dict(type='EPALM', levels=1, start=1, end=2)
    built = MODELS.build(model)
    # The tokens that the task model adds fit, and every weight has a place of the same name and shape.
    assert len(built.tokenizer.tokenizer) == built.tokenizer.vocab_size or subject == 'questions'
    own = built.lm.state_dict()
    for name, weight in lm.state_dict().items():
        if name in own:
            assert own[name].shape[1:] == weight.shape[1:] and len(own[name]) - len(weight) in (0, 200), name
    assert {name.split('.')[0] for name in own} <= {name.split('.')[0] for name in lm.state_dict()}
    assert json.loads((folder / 'config.json').read_text())['model_type'] == model['lm']['model_type']


def test_it_learns(base):
    """Twelve steps are enough to expect the words of the text rather than any."""
    subject, _, lines, folder = base
    lm, tokenizer = SUBJECTS[subject].from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(lines[:16], return_tensors='pt', padding=True)
    labels = batch['input_ids'].masked_fill(batch['attention_mask'] == 0, -100)
    with torch.no_grad():
        loss = lm(input_ids=batch['input_ids'], attention_mask=batch['attention_mask'], labels=labels).loss
    assert loss < 0.8 * torch.tensor(float(len(tokenizer))).log()


def test_too_many_words_are_refused(tmp_path):
    (tmp_path / 'lines.txt').write_text(' '.join(f'word{i}' for i in range(100)) + '\n')
    done = run_tool(
        'pretrain_lm.py', ROOT / 'configs/quickstart/_captions_.py', tmp_path / 'lines.txt', tmp_path / 'lm'
    )
    assert done.returncode != 0 and 'the text has 100 different words' in done.stderr
    assert not (tmp_path / 'lm').exists() and (TOOLS / 'pretrain_lm.py').is_file()
