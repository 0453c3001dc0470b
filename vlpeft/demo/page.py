"""The page: header and tabs, and which function answers what. All answers are HTML that the tabs make."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from vlpeft.apis.media_files import media_of

from . import fragments
from .answering import AskTab, CaptionTab, FileTab
from .examples import Example, spread
from .media import still
from .search import SearchTab
from .tab import Tab

TITLE = 'vlpeft demo'
HEADER = f"""<header class="vl-head"><h1>{TITLE}</h1>
<p>What a small trained part changes: everything is asked twice, of the base alone and of the base with its adapter.</p>
</header>"""
LABELS = dict(search='Search', ask='Ask', caption='Caption')
#: Questions that wait; who asks when there are more is told that the queue is full.
LONGEST_QUEUE = 64
#: Nobody shall call the functions of the page from elsewhere.
OWN = dict(api_visibility='private')


def build_page(tabs: Mapping[str, Tab], missing: Mapping[str, str]) -> gr.Blocks:
    """The page.

    Args:
        tabs: By name: ``search``, ``ask``, ``caption``.
        missing: Of each tab without a model, the command that makes it.
    """
    # Nothing is told to Gradio's makers; uploads go after an hour.
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(HEADER)
        with gr.Tabs():
            for name, label in LABELS.items():
                with gr.Tab(label, id=name, elem_id=f'tab-{name}'):
                    if name in tabs:
                        FILLED[name](tabs[name])
                    else:
                        gr.HTML(fragments.missing(missing[name]))
    return page.queue(max_size=LONGEST_QUEUE, api_open=False)


def _fill_search(tab: SearchTab) -> None:
    gr.HTML(tab.describe())
    query = _text('What to look for', 'Type a text', 'Search', 'query')
    examples = _buttons([item.text for item in spread(tab.examples)])
    result = gr.HTML(elem_id='found', min_height=60)
    query.submit(tab.respond, query, result, **OWN)
    for text, button in examples.items():
        button.click(lambda text=text: (text, tab.respond(text)), None, [query, result], **OWN)


def _fill_ask(tab: AskTab) -> None:
    gr.HTML(tab.describe())
    examples = _pictured(tab.examples)
    with gr.Row(elem_classes='vl-asked'):
        with gr.Column(scale=1, min_width=260):
            shown, file = _chooser(tab)
        with gr.Column(scale=2):
            question = _text('Question', 'Type a question', 'Ask', 'question')
            result = gr.HTML(elem_id='answers', min_height=60)
    _look(tab, file, shown, result)
    question.submit(tab.respond, [file, question], result, **OWN)
    for example, button in examples:
        button.click(
            lambda item=example: (item.path, tab.look(item.path)[0], item.text, tab.respond(item.path, item.text)),
            None,
            [file, shown, question, result],
            **OWN,
        )


def _fill_caption(tab: CaptionTab) -> None:
    gr.HTML(tab.describe())
    examples = _pictured(tab.examples)
    with gr.Row(elem_classes='vl-asked'):
        with gr.Column(scale=1, min_width=260):
            shown, file = _chooser(tab)
            again = gr.Button('Describe', variant='primary', elem_id='describe')
        with gr.Column(scale=2):
            result = gr.HTML(elem_id='captions', min_height=60)
    _look(tab, file, shown, result)
    again.click(tab.respond, file, result, **OWN)
    for example, button in examples:
        button.click(
            lambda item=example: (item.path, tab.look(item.path)[0], tab.respond(item.path)),
            None,
            [file, shown, result],
            **OWN,
        )


FILLED = dict(search=_fill_search, ask=_fill_ask, caption=_fill_caption)


def _text(label: str, hint: str, button: str, name: str) -> gr.Textbox:
    """A line to type into; Enter or its button sends it."""
    return gr.Textbox(label=label, placeholder=hint, submit_btn=button, max_length=500, elem_id=name)


def _chooser(tab: FileTab) -> tuple[gr.HTML, gr.File]:
    return gr.HTML(elem_classes='vl-shown'), gr.File(label=tab.takes, height=140)


def _look(tab: FileTab, file: gr.File, shown: gr.HTML, result: gr.HTML) -> None:
    file.upload(tab.look, file, [shown, result], **OWN)
    file.clear(lambda: ('', ''), None, [shown, result], **OWN)


def _buttons(texts: list[str]) -> dict[str, gr.Button]:
    with gr.Row(elem_classes='vl-examples'):
        return {text: gr.Button(text, size='sm', min_width=0) for text in texts}


def _pictured(examples: Sequence[Example]) -> list[tuple[Example, gr.Button]]:
    """Buttons of examples, whose files are where the page may hand them out."""
    handed = []
    for number, item in enumerate(examples):
        folder = Path(get_upload_folder(), f'example-{number}')
        folder.mkdir(parents=True, exist_ok=True)
        handed.append(item._replace(path=shutil.copy(item.path, folder)))
    with gr.Row(elem_classes='vl-examples vl-pictured'):
        buttons = [
            gr.Button(item.text or f'Example {number}', icon=_icon(item.path), size='sm', min_width=0)
            for number, item in enumerate(handed, start=1)
        ]
    for button in buttons:
        button.keep_in_cache |= button.temp_files  # its picture is no upload, and stays
    return list(zip(handed, buttons))


def _icon(path: str) -> str | None:
    """A small picture of a file beside it; None of a sound."""
    if media_of(path) == 'audio':
        return None
    icon = Path(path).with_name('icon.webp')
    icon.write_bytes(still(path))
    return str(icon)
