"""Conversations are measured before training: files, lengths with image tokens, those that are too long or refused."""

import json
import tempfile

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from tests import media, tiny_vlms
from tests.chat_layouts import CONTENTS, LAYOUTS, written
from vlpeft.datasets.checking import check
from vlpeft.registry import DATASETS

LONG = [('user', 'what colour is it ?', 1), ('assistant', 'a ' * 60, 0)]


@pytest.fixture(scope='module')
def processor():
    init_default_scope('vlpeft')
    return tiny_vlms.processor('qwen2_vl', tempfile.mkdtemp())


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate('ab'):
        tiny_vlms.picture(seed, (16 + 8 * seed, 16)).save(tmp_path / f'{name}.png')
    return tmp_path


def config(folder, records, processor, kind='JSONLChat', steps=(), **options):
    (folder / 'train.json').write_text(json.dumps(records))
    pack = dict(type='PackChat', processor=processor, reader=dict(type='PyAVReader'), **options)
    dataset = dict(type=kind, data_root=str(folder), ann_file='train.json', pipeline=[*steps, pack])
    return dict(train_dataloader=dict(batch_size=1, dataset=dataset))


def test_lengths_are_those_of_the_packed_samples(folder, processor):
    records = [written(layout, *CONTENTS[name], folder) for name in CONTENTS for layout in LAYOUTS]
    records = [{key: value for key, value in record.items() if key != 'id'} for record in records]
    cfg = config(folder, records, processor)
    report = check(cfg, folder / 'out', workers=2)
    (entry,) = report.sets
    dataset = DATASETS.build(cfg['train_dataloader']['dataset'])
    lengths = [dataset[number]['inputs']['input_ids'].shape[1] for number in range(len(records))]
    assert json.loads((folder / 'out/lengths_train.json').read_text()) == lengths
    assert entry['lengths'] == str(folder / 'out/lengths_train.json') and entry['max_length'] is None
    ordered = np.sort(lengths)
    expected = dict(samples=len(lengths), shortest=ordered[0], longest=ordered[-1])
    for name, share in (('half', 0.5), ('90 %', 0.9), ('99 %', 0.99)):
        expected[name] = next(length for length in ordered if (ordered <= length).mean() >= share)
    assert entry['tokens'] == expected
    assert report.files == 2 and {finding.kind for finding in report.findings} <= {'duplicate_record'}
    again = check(cfg, folder / 'out', workers=1)
    assert again.resumed == 2 and again.sets == report.sets


def test_what_cannot_be_trained_on_is_found(folder, processor):
    media.write_video(folder / 'short.mp4', media.numbered_frames(4), codec='mpeg4')
    (folder / 'bad.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    turns = CONTENTS['one image'][0]
    video = dict(messages=[dict(role='user', content='<video>what ?'), dict(role='assistant', content='red')])
    records = [
        written('ms-swift', turns, ['a.png']),
        written('ms-swift', LONG, ['a.png']),
        written('ms-swift', turns, ['gone.png']),
        written('ms-swift', turns, ['bad.png']),
        dict(video, videos=['short.mp4']),
        written('ms-swift', [('user', 'what ?', 1), ('assistant', 'x <|image_pad|', 0)], ['a.png']),
        written('ms-swift', [('user', '<|image_pad|', 0), ('assistant', 'x', 0)], []),
    ]
    report = check(config(folder, records, processor, max_length=100), folder / 'out', workers=2)
    found = {(finding.kind, finding.first_sample): finding.detail for finding in report.findings}
    # The video of 4 frames is shown as 8, which are many tokens.
    assert set(found) == {('too_long', 1), ('missing', 2), ('unreadable', 3), ('too_short', 4), ('too_long', 4)}
    assert found['too_long', 1].endswith('tokens, max_length is 100')
    assert report.sets[0]['tokens']['samples'] == 5 and report.sets[0]['max_length'] == 100
    lengths = json.loads((folder / 'out/lengths_train.json').read_text())
    assert [number for number, length in enumerate(lengths) if not length] == [2, 3]


def test_damaged_pictures_in_the_file_are_found(folder, processor):
    records = [written('OpenAI', *CONTENTS['one image'], folder), written('OpenAI', LONG, ['gone'], folder)]
    (finding,) = check(config(folder, records, processor), folder / 'out', workers=1).findings
    assert (finding.kind, finding.first_sample) == ('unreadable', 1)
    assert finding.detail.startswith('data:image/png;base64,') and 'not a readable image' in finding.detail


def test_samples_that_the_processor_refuses_are_found(folder):
    init_default_scope('vlpeft')
    records = [
        written('ms-swift', *CONTENTS['one image']),
        written('ms-swift', [('user', 'an <IMG_CONTEXT> ?', 1), ('assistant', 'x', 0)], ['a.png']),
    ]
    cfg = config(folder, records, tiny_vlms.processor('internvl', tempfile.mkdtemp()))
    (finding,) = check(cfg, folder / 'out', workers=1).findings
    assert (
        finding.kind == 'refused' and finding.first_sample == 1 and "'<IMG_CONTEXT>', a special token" in finding.detail
    )
    assert finding.subject == 'train.json: sample 1 a.png'


def test_other_sets_as_conversations_are_measured(folder, processor):
    records = [dict(image='a.png', question='what colour is it ?', answer='red')]
    cfg = config(folder, records, processor, 'JSONLQA', [dict(type='ToChat', prompt='{question}')])
    report = check(cfg, folder / 'out', workers=1)
    same = config(folder, [written('LLaVA', *CONTENTS['one image'])], processor)
    assert report.findings == [] and report.files == 1
    assert report.sets[0]['tokens'] == check(same, folder / 'other', workers=1).sets[0]['tokens']


def test_a_quick_check_looks_at_files_only(folder, processor, tmp_path):
    records = [written('ms-swift', LONG, ['a.png']), written('ms-swift', LONG, ['gone.png'])]
    report = check(config(folder, records, str(tmp_path / 'none'), max_length=3), folder / 'out', workers=1, fast=True)
    assert [finding.kind for finding in report.findings] == ['missing'] and 'tokens' not in report.sets[0]
    with pytest.raises(ValueError, match='processor .*there is no such folder'):
        check(config(folder, records, str(tmp_path / 'none')), folder / 'out', workers=1)


def test_conversations_are_the_same_if_all_turns_are(folder, processor):
    first, _ = CONTENTS['several turns']
    other = [*first[:2], ('assistant', 'blue', 0), *first[3:]]
    images = ['a.png', 'b.png']
    for turns, count in ((other, 0), (first, 1)):
        records = [written('ms-swift', first, images), written('TRL', turns, images)]
        found = check(config(folder, records, processor), folder / 'out', workers=1).findings
        assert [finding.kind for finding in found] == ['duplicate_record'] * count
