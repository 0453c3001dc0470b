"""The lines of Python by which a published model is loaded; tests run those that stand on cards."""

from typing import TYPE_CHECKING

from mmengine.config import Config

from vlpeft.apis.hub_folder import LEFT_OUT
from vlpeft.apis.task_pipeline import find_pipeline

if TYPE_CHECKING:
    from .facts import Facts

#: The inferencer of what a model writes.
INFERENCERS = dict(pred_answer='VQAInferencer', pred_caption='CaptionInferencer')
#: Names of files, by what is in them.
EXAMPLES = dict(image='photo.jpg', video='clip.mp4', audio='sound.wav')


def loading_lines(facts: 'Facts', place: str, config: str | None = None) -> list[str]:
    """Python for a card.

    Args:
        facts: What the model is.
        place: Name of the folder or file, or ``owner/name`` on the hub.
        config: Config of a file. Defaults to None: it is a folder.
    """
    if config is not None:
        arguments, note = f'{config!r}, {place!r}', '  # the config, and the file beside this card'
        load = f'{config!r}, pretrained={place!r}'
    elif place.count('/') == 1:
        lines = [f'folder = huggingface_hub.snapshot_download({place!r})']
        return ['import huggingface_hub', *lines, *_use(facts, 'folder', 'folder', '')]
    else:
        arguments = load = repr(place)
        note = '  # the folder that this card lies in'
    return _use(facts, arguments, load, note)


def _use(facts: 'Facts', arguments: str, load: str, note: str) -> list[str]:
    if facts.kind == 'Retriever':
        return [
            'from vlpeft import RetrievalInferencer',
            f'finder = RetrievalInferencer({arguments}).index("videos"){note}'.replace('"', "'"),
            "print(finder.search('a text'))  # the files of the folder videos, best first",
        ]
    if facts.kind == 'ImageTextLM' and any(file.source == LEFT_OUT for file in facts.base_files):
        base = f'model={"base"!r}, base_checkpoint=dict(source={"base"!r})'
        return [
            'import vlpeft',
            f'model = vlpeft.get_model({load}, {base}){note}; base: the folder of its base',
            'print(model.method)',
        ]
    if facts.reads is not None:
        name, medium = facts.reads
        ask = ", 'what is it?'" if name != 'CaptionInferencer' else ''
        return [
            f'from vlpeft import {name}',
            f'model = {name}({arguments}){note}',
            f'print(model({EXAMPLES[medium]!r}{ask}))',
        ]
    return ['import vlpeft', f'model = vlpeft.get_model({load}){note}', 'print(model.method)']


def reading_of(config: Config) -> tuple[str, str] | None:
    """The inferencer by which files are read as in the test of a config, and the kind of file that it takes first.

    Returns:
        None where files alone are not enough: stored features, answers to choose from, other fields of a set.
    """
    settings = config.model
    if settings.type == 'GenerativeVQA' and settings.get('inference', 'rank') == 'rank':
        return None
    for output, name in INFERENCERS.items():
        try:
            return name, find_pipeline(config, '', output, ('question',)).media[0]
        except (KeyError, OSError, ValueError):
            continue
    loader = config.get('test_dataloader') or {}
    steps = [step.get('type') for step in loader.get('dataset', {}).get('pipeline', ())]
    return ('ChatInferencer', 'image') if settings.type == 'ImageTextLM' and 'PackChat' in steps else None
