"""The pages of the evidence are what their records say, and the records are of the study files that are there."""

import json
from pathlib import Path

import pytest

from tools.analysis_tools.compare_methods import main
from vlpeft.comparison.record import read_records
from vlpeft.comparison.study import read_study

ROOT = Path(__file__).parents[2]
PAGES = ROOT / 'docs/evidence'
STUDIES = sorted(path.stem for path in (ROOT / 'configs/evidence').glob('*.yml') if path.stem != 'metafile')
RUN = [name for name in STUDIES if (PAGES / name).is_dir()]


@pytest.mark.parametrize('name', STUDIES)
def test_studies_can_be_read(name):
    study = read_study(ROOT / f'configs/evidence/{name}.yml')
    assert len(study.seeds) >= 3 and all(len(method.rates) in (0, 3) for method in study.methods.values())


@pytest.mark.parametrize('name', RUN)
def test_pages_are_made_of_the_records(name, tmp_path):
    study = str(ROOT / f'configs/evidence/{name}.yml')
    assert main([study, '--records', str(PAGES / name), '--out', str(tmp_path), '--no-run']) == 0
    for suffix in ('md', 'json'):
        assert (tmp_path / f'{name}.{suffix}').read_text() == (PAGES / f'{name}.{suffix}').read_text()
    assert {path.name for path in tmp_path.glob('*.svg')} == {path.name for path in PAGES.glob(f'{name}_*.svg')}


@pytest.mark.parametrize('name', RUN)
def test_records_say_where_they_come_from(name):
    study = read_study(ROOT / f'configs/evidence/{name}.yml')
    records = read_records(study, PAGES / name)
    found = [record for rows in records.values() for record in rows]
    assert len(found) == len(list((PAGES / name).iterdir())), 'a record of no method of the study'
    for record in found:
        assert record['run_info']['dirty'] is False and len(record['run_info']['commit']) == 40
        files = record['meta_info']['dataset_info']
        assert any(label.startswith('test') and files[label]['sha256'] for label in files)
        assert record['intervals'][study.metric]
    for rows in records.values():
        assert len({json.dumps(record['run_info']['peft_config']) for record in rows}) == 1
