"""Runs a notebook as Jupyter does, in a folder of its own and without a network."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.workspace import ROOT

NOTEBOOKS = sorted((ROOT / 'notebooks').glob('*.ipynb'))


def run_notebook(path: Path, folder: Path, **settings) -> nbformat.NotebookNode:
    """Every cell from top to bottom, in a real kernel; an error of a cell is one of the test.

    Args:
        path: The notebook, which stays as it is.
        folder: The current folder of its cells.
        **settings: In place of those of the cell that is tagged as such.

    Returns:
        The notebook with what its cells have printed and drawn.
    """
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if 'parameters' in cell.metadata.get('tags', ())]
    scope: dict = {}
    exec(cell.source, scope)
    assert (unknown := settings.keys() - scope.keys()) == set(), f'no settings of {path.name}: {unknown}'
    cell.source += ''.join(f'\n{name} = {value!r}' for name, value in settings.items())
    environment = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH')))),
        HF_HUB_OFFLINE='1',
        MPLBACKEND='module://matplotlib_inline.backend_inline',
    )
    client = NotebookClient(
        notebook, timeout=240, kernel_name='python3', resources=dict(metadata=dict(path=str(folder)))
    )
    client.execute(env=environment)
    return notebook


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """What cells have drawn, as base64 of PNG."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    return [output.data['image/png'] for output in outputs if 'image/png' in output.get('data', {})]


def printed(notebook: nbformat.NotebookNode) -> str:
    """What cells have printed; rich prints in Jupyter by showing something."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    return ''.join(output.get('text') or output.get('data', {}).get('text/plain', '') + '\n' for output in outputs)
