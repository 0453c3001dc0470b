"""The quality gates: the same before a commit as in CI, and with pinned versions; the repository's own forms."""

import re
import subprocess

import yaml

import vlpeft
from tests.workspace import ROOT

SCRIPT = (ROOT / 'tools/check_style.sh').read_text()
GATES = dict(re.findall(r'^gate (\w+) (.+)$', SCRIPT, re.MULTILINE))


def test_hooks_before_a_commit_are_the_gates():
    (local,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    hooks = {hook['id']: hook['entry'].replace(' --force-exclude', '') for hook in local['hooks']}
    assert hooks == {name: re.sub(r' --quiet| \.$| vlpeft tools$', '', command) for name, command in GATES.items()}
    assert set(hooks) == {'lint', 'format', 'spelling', 'python310', 'metafiles', 'packages'}


def test_tools_are_pinned():
    lines = (ROOT / 'requirements/style.txt').read_text().splitlines()
    assert all(re.fullmatch(r'#.*|[\w-]+==[\d.]+', line) for line in lines)


def test_every_gate_runs_and_one_that_fails_decides(tmp_path):
    (tmp_path / 'tools').mkdir()
    lines = [f'gate {name} {"false" if name == "spelling" else "true"}' for name in GATES]
    script = re.sub(r'(?m)^gate .+\n', '', SCRIPT).replace(
        'if [ ${#FAILED[@]}', '\n'.join([*lines, 'if [ ${#FAILED[@]}'])
    )
    (tmp_path / 'tools/check_style.sh').write_text(script)
    (tmp_path / 'tools/environment.sh').write_text('ensure_environment() { :; }\n')
    done = subprocess.run(['bash', str(tmp_path / 'tools/check_style.sh')], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith('Failed: spelling (')
    verdicts = [re.fullmatch(r'(\w+) +(passed|FAILED) in \d+ s', line) for line in done.stdout.splitlines()[:-1]]
    assert [match.groups() for match in verdicts] == [
        (name, 'FAILED' if name == 'spelling' else 'passed') for name in GATES
    ]


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
    assert str(citation['version']) == vlpeft.__version__ and citation['license'] == 'Apache-2.0'


def test_issue_forms_are_what_github_takes():
    forms = [path for path in (ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml') if path.name != 'config.yml']
    assert len(forms) >= 3
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert {'name', 'description', 'body'} <= set(form)
        ids = [field['id'] for field in form['body']]
        assert len(set(ids)) == len(ids) and all(re.fullmatch(r'[\w-]+', name) for name in ids)
        for field in form['body']:
            assert field['type'] in ('input', 'textarea', 'checkboxes', 'dropdown') and field['attributes']['label']
