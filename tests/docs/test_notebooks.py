"""The notebooks, run from top to bottom in a real kernel at tiny size; in git they hold no outputs."""

import re

import nbformat
import pytest

from tests import tiny_vlms
from tests.docs.notebook_runs import NOTEBOOKS, pictures, printed, run_notebook
from tests.workspace import ROOT

RETRIEVAL, CHAT = (
    ROOT / 'notebooks' / name for name in ('retrieval_on_your_videos.ipynb', 'chat_on_your_questions.ipynb')
)


def test_they_are_these():
    assert NOTEBOOKS == sorted([RETRIEVAL, CHAT])


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_a_run_is_kept(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert set(notebook.metadata) == {'kernelspec', 'language_info'} and notebook.metadata.kernelspec.name == 'python3'
    assert {key for cell in notebook.cells for key in cell.metadata} <= {'tags'}
    text = path.read_text()
    assert not re.search(r'/(home|Users|root|tmp|work)/|[A-Z]:\\\\', text), 'a folder of a machine'
    assert notebook.cells[0].cell_type == 'markdown' and notebook.cells[0].source.startswith('# ')
    assert sum('parameters' in cell.metadata.get('tags', ()) for cell in notebook.cells) == 1


def test_retrieval_on_own_videos(tmp_path):
    found = run_notebook(RETRIEVAL, tmp_path, CLIPS=448, EPOCHS=1)
    assert len(pictures(found)) == 3
    text = printed(found)
    assert 'parameters  178,916 of 1,068,933 train' in text, 'the head of the run'
    before, after = map(float, re.search(r'mean R@1: ([\d.]+) → ([\d.]+)', text).groups())
    assert after > before
    assert re.search(r'1\. test_\d+\.mp4, score', text) and '\x1b[2K' not in text, 'no bars are drawn over'
    assert {path.name for path in tmp_path.iterdir()} == {'work_dirs'}


def test_chat_on_own_questions(tmp_path):
    tiny_vlms.build('llava').save_pretrained(tmp_path / 'tiny')
    tiny_vlms.processor('llava', tmp_path / 'tiny')
    found = run_notebook(
        CHAT,
        tmp_path,
        MODEL=str(tmp_path / 'tiny'),
        PACKING={},
        QUESTION='what colour is the image ?',
        NAMES={name: name for name in ('red', 'green', 'blue', 'yellow')},
        TARGETS={},
        RATE=1e-2,
        PICTURES=8,
        EPOCHS=6,
    )
    assert len(pictures(found)) == 3
    text = printed(found)
    assert re.search(r'\b(\d+) % right before, (9\d|100) % after', text) and 'both are true' in text
    assert (tmp_path / 'work_dirs/notebook_chat/lora/adapter_model.safetensors').is_file()
