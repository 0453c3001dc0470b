"""What the extensions of the site (docs/_ext) make of pages, docstrings and names."""

import json
import re

import pytest

from tests.workspace import ROOT


@pytest.fixture
def extension(monkeypatch):
    """Imports a module of docs/_ext."""
    monkeypatch.syspath_prepend(ROOT / 'docs/_ext')
    return lambda name: __import__(name)


INDEX = """# Documentation

Begin with the [overview](../README.md).

## First steps

| page | what it says |
|---|---|
| [Overview](../README.md) | all |
| [Your data](own.md) | which task |
| [Your videos](own/videos.md) | see [data](data.md) |

## Methods

| page | what it says |
|---|---|
| [All](methods/README.md) | of all |
| [LoRA](methods/lora.md) | one |
| [Place](methods/lora.md#place) | a heading is no page |
| [Combinations](combinations.md) | which |

By folder:

| page | what it says |
|---|---|
| [Recipes](../configs/lora/README.md) | files |
"""


def test_the_table_of_contents_is_that_of_the_index(extension, tmp_path):
    (tmp_path / 'docs').mkdir()
    index = tmp_path / 'docs/index.md'
    index.write_text(INDEX)
    assert extension('contents').tables_of_contents(index, tmp_path) == {
        'docs/index': [
            ('First steps', ['Overview </README>', 'Your data </docs/own>']),
            (
                'Methods',
                ['All </docs/methods/README>', 'Combinations </docs/combinations>', 'Recipes </configs/lora/README>'],
            ),
        ],
        'docs/own': [('', ['Your videos </docs/own/videos>'])],
        'docs/methods/README': [('', ['LoRA </docs/methods/lora>'])],
    }


DOCSTRING = """A map of low rank.

    y = x W + b

    with B = 0.
More of it:

    again = 1

Args:
    rank: r. Defaults to 8:

        an example
    names, **rest: What is left.

Raises:
    ValueError: None.
"""


def test_formulas_and_code_of_docstrings_stay_as_they_are(extension):
    lines = DOCSTRING.splitlines()
    extension('reference').mark_literal_blocks(None, 'class', 'LoRA', None, None, lines)
    text = '\n'.join(lines)
    assert '::\n\n    y = x W + b\n\n    with B = 0.\nMore' in text and '::\n\n    again = 1\n' in text
    assert text.count('::') == 2, 'the entries of a section are not code'
    assert [line for line in lines if line and line != '::'] == [line for line in DOCSTRING.splitlines() if line]


@pytest.mark.parametrize(
    ('line', 'kept'),
    [
        (':param rank: r. Defaults to 8.', r':param rank: r\. Defaults to 8.'),
        (':param rank: As r. Defaults to 8.', ':param rank: As r. Defaults to 8.'),
        (':param a, b, **rest: See **there**.', r':param a, b, \*\*rest: See **there**.'),
        (r':param \*\*rest: All.', r':param \*\*rest: All.'),
        ('s. The scale.', r's\. The scale.'),
    ],
)
def test_symbols_and_stars_are_no_markup(extension, line, kept):
    lines = [line]
    extension('reference').keep_as_written(None, 'class', 'LoRA', None, None, lines)
    assert lines == [kept]


def test_properties_are_read_as_functions(extension):
    from types import SimpleNamespace

    from sphinx.ext.napoleon import Config, GoogleDocstring

    app = SimpleNamespace(config=Config())
    lines = ['Kinds of files: images.', '', 'Raises:', '    ValueError: None are.']
    extension('reference').read_as_function(app, 'property', 'A.media', None, None, lines)
    # What napoleon itself makes of it afterwards.
    text = str(GoogleDocstring(lines, app.config, None, 'property', 'A.media'))
    assert 'Kinds of files: images.' in text and ':type:' not in text and ':raises ValueError: None are.' in text


def test_defaults_that_are_made_anew_are_python(extension):
    written, returned = extension('reference').leave_out_made_defaults(
        None, 'class', 'Tower', None, None, '(name: str, outside: dict = <factory>)', 'None'
    )
    assert (written, returned) == ('(name: str, outside: dict = ...)', 'None')


def test_a_part_of_a_registry_is_found_by_its_package(extension):
    described = list(extension('reference').described('registered', 'MODELS vlpeft.models.heads', None))
    named = [match[1] for line in described if (match := re.match(r'\.\. autoclass:: (\S+)', line))]
    assert 'vlpeft.models.heads.ITCHead' in named and all(name.startswith('vlpeft.models.heads.') for name in named)


def test_names_are_those_by_which_things_are_imported(extension):
    import vlpeft
    from vlpeft.adapters.lora import LoRA

    name = extension('reference').public_name
    assert name(LoRA, LoRA.__module__) == 'vlpeft.adapters.LoRA'
    assert name(vlpeft.attach, 'vlpeft.adaptation') == 'vlpeft.attach'
    assert name(vlpeft.RetrievalInferencer, 'vlpeft.apis') == 'vlpeft.RetrievalInferencer'


def test_only_names_that_there_are_may_stand_in_docstrings(extension):
    names = extension('reference').names_of_ours(ROOT / 'vlpeft')
    # Of a class, a function, a constant and a module that no page describes.
    assert {'AdaptedModel', 'take_fraction', 'KINDS', 'learning_rates'} <= names
    assert 'AdaptedModle' not in names


def test_a_notebook_is_shown_by_its_cells(extension):
    words = dict(cell_type='markdown', source=['# Title\n', '\n', 'Some *words* <script>.'])
    code = dict(cell_type='code', source=['x = 1\n', 'x < 2'], outputs=[])
    shown = extension('source_pages').cells(
        json.dumps(dict(cells=[words, code])), lambda text, language: f'<pre>{language}: {text}</pre>'
    )
    assert '<h1>Title</h1>' in shown and '<em>words</em> &lt;script&gt;' in shown
    assert shown.endswith('<pre>python: x = 1\nx < 2</pre>')
