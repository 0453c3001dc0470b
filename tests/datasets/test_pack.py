"""The one schema of packed samples: what is kept, what is left to the pipeline, what is refused, what the page says."""

import re
from pathlib import Path

import pytest
import torch

from vlpeft.datasets.transforms import PackSample
from vlpeft.datasets.transforms.pack import FIELDS, WORKING_FIELDS

CLIP = torch.arange(2 * 3 * 4 * 6, dtype=torch.uint8).view(2, 3, 4, 6)
PAGE = Path(__file__).parents[2] / 'docs/data.md'


def packed(task=None, extra_fields=(), **results):
    return PackSample(task, extra_fields)(dict(clip=CLIP, **results))['data_samples'].to_dict()


@pytest.mark.parametrize(
    ('name', 'strided'),
    [('clip', CLIP.transpose(2, 3)), ('features', torch.rand(2, 49, 8).transpose(0, 1)[:36].transpose(0, 1))],
)
def test_the_inputs_are_the_clip_or_the_features(name, strided):
    sample = PackSample()({name: strided})
    assert sample['inputs'].is_contiguous() and torch.equal(sample['inputs'], strided)
    assert sample['data_samples'].to_dict() == {}


def test_questions_keep_what_models_and_metrics_need():
    kept = dict(name='a', text='vqa: x', question='x', question_id=3, gold=['b'], label=dict(b=1.0))
    kept.update(question_type='what', answer_type='other')
    assert packed('vqa', **kept, path='x', media='image', subtitles='long', sample_idx=7) == dict(kept, task='vqa')
    trained = dict(question='x', answers=['b', 'c'], weights=[0.7, 0.3], name='a', frame_indices=[0, 5])
    assert packed(**trained, path='x') == trained


def test_captions_keep_what_models_and_metrics_need():
    kept = dict(text='tvc: ', sample_id='7', references=['a'], vid_name='v', clip_id=7, ts=[0, 1])
    assert packed('tvc', **kept, subtitles='long') == dict(kept, task='tvc')
    assert packed('tvc', text='', caption='a', target='a', weight=1.0) == dict(
        text='', target='a', weight=1, task='tvc'
    )
    retrieval = dict(name='v', texts=['a', 'b'], text_ids=[3, 4], clip_id=1, frame_indices=[0])
    assert packed(**retrieval, path='x', start=0, end=2) == retrieval


@pytest.mark.parametrize('unknown', ['topic', 'qestion', 'task'])
def test_an_unknown_field_is_named_beside_the_known_ones(unknown):
    with pytest.raises(ValueError, match=f"no field '{unknown}'; its fields are name, .*subtitles.*extra_fields"):
        PackSample('vqa')({'clip': CLIP, 'question': 'x', unknown: 'y'})


def test_a_set_of_ones_own_declares_its_fields():
    assert packed(extra_fields=['topic'], topic='cars', name='a') == dict(name='a', topic='cars')


def test_a_sample_without_pixels_or_features_is_refused():
    with pytest.raises(ValueError, match="neither 'clip' nor 'features'.*it has name, path"):
        PackSample()(dict(name='a', path='x'))


def test_the_page_lists_these_fields():
    section = PAGE.read_text().split('## What a sample carries')[1].split('\n## ')[0]
    assert dict(re.findall(r'^\| `(\w+)` \| (.*) \|$', section, re.MULTILINE)) == FIELDS
    assert not set(FIELDS) & set(WORKING_FIELDS)
