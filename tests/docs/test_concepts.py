"""What docs/concepts.md says of parts, sites and words is so in the code."""

import re
from dataclasses import fields

import torch
from transformers import CLIPTextConfig, CLIPTextModel

import vlpeft
from tests.docs.markdown_pages import code_blocks, section, table_rows
from tests.workspace import ROOT
from vlpeft.registry import MODELS
from vlpeft.sites import SubLayer

PAGE = (ROOT / 'docs/concepts.md').read_text()


def test_task_models_are_registered_and_all_named():
    rows = table_rows(section(PAGE, 'tasks-and-data'))
    named = {name for row in rows[1:] for name in re.findall(r'`(\w+)`', row[1])}
    MODELS.import_from_location()
    tasks = {name for name, part in MODELS.module_dict.items() if part.__module__.startswith('vlpeft.models.tasks.')}
    assert named == tasks


def test_sites_of_the_table_are_fields_of_a_sub_layer():
    sites = [re.sub(r'\*', '', row[0]) for row in table_rows(section(PAGE, 'sites'))[1:]]
    assert sites[:3] == ['x', 'h', 'y'] and set(sites[:3]) <= {field.name for field in fields(SubLayer)}


def test_the_choice_of_sites_acts_where_it_says():
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        vocab_size=60,
        projection_dim=16,
    )
    (line,) = code_blocks(section(PAGE, 'sites'), 'python')
    adapter = vlpeft.attach(CLIPTextModel(config), eval(line), towers=dict(text=''))
    shapes = sorted(tuple(parameter.shape) for parameter in adapter.parameters())
    # Two maps in each of two blocks, each with two factors of rank 16.
    assert shapes == sorted([(16, 32), (32, 16)] * 4)
