"""The page of a report: head, table of figures, and a section for each task."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlpeft.atomic import write_atomically
from vlpeft.evaluation.predictions import reader_names
from vlpeft.visualization.answers_style import ANSWERS_STYLE
from vlpeft.visualization.clip_styles import ClipStyles
from vlpeft.visualization.gallery_style import STYLE

from .captions import captions_section
from .figures import figure_table
from .marks import notice, said
from .questions import questions_section
from .retrieval import retrieval_section
from .style import REPORT_STYLE
from .task import FrameWeights, Task

PAGE = 'index.html'
#: Pixels of the height of an embedded frame, and of the width of all frames of a clip side by side: on a page they are
#: about half as wide.
TALLEST, WIDEST = 160, 1120
#: Facts of a run that its head shows, in this order.
FACTS = ('config', 'checkpoint', 'method', 'base', 'parameters', 'test set', 'date', 'commit', 'versions', 'device')

LoadFrames = Callable[[str], np.ndarray]


def write_report(
    folder: str | Path,
    result: Mapping[str, Any],
    load_frames: Mapping[str, LoadFrames],
    frame_weights: Mapping[str, FrameWeights] | None = None,
) -> Path:
    """Write ``index.html`` into a folder: one file, without script or anything from outside, light and dark.

    Args:
        folder: It is made.
        result: Of :func:`vlpeft.evaluation.result.result_of`, with intervals (``add_intervals``).
        load_frames: By prefix of the predictions: name of a file to its frames, uint8 RGB (T, H, W, 3). A file for
            which it raises, and all of a prefix that is missing, are shown as files that cannot be read.
        frame_weights: By prefix: text id and clip id to the weight of each frame. Defaults to None, there are none.

    Returns:
        The page.
    """
    sections, styles = [], []
    for place, (prefix, predictions) in enumerate(result['predictions'].items()):
        loader = load_frames.get(prefix, _nothing)
        clips = ClipStyles(lambda name, loader=loader: _small(loader(name)), f's{place}c')
        task = Task(
            prefix or '',
            [reader_names(prediction) for prediction in predictions],
            _below(prefix, result['metrics']),
            _below(prefix, result.get('intervals', {})),
            result.get('resampled', {}).get(prefix, ''),
            clips,
            (frame_weights or {}).get(prefix),
            left_out=result.get('left_out', {}).get(prefix, {}),
        )
        sections.append(_section(task, place))
        styles.append(clips.style())
    title = f'Test of {Path(result["config"]).stem}'
    path = Path(folder) / PAGE
    page = _page(title, result, ''.join(sections), ''.join(styles))
    write_atomically(path, lambda part: Path(part).write_text(page, encoding='utf-8', errors='replace'))
    return path


def _page(title: str, result: Mapping[str, Any], sections: str, styles: str) -> str:
    facts = dict(result.get('run', {}), config=result['config'], checkpoint=result['checkpoint'])
    listed = ''.join(
        f'<div><dt>{name}</dt><dd>{said(facts[name])}</dd></div>' for name in FACTS if facts.get(name) is not None
    )
    prefixes = list(result['predictions'])
    links = ''.join(f'<a href="#s{place}">{said(prefix)}</a>' for place, prefix in enumerate(prefixes))
    contents = f'<nav><a href="#figures">figures</a>{links}</nav>' if len(prefixes) > 1 else ''
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}{ANSWERS_STYLE}{REPORT_STYLE}{styles}</style></head>\n'
        f'<body><main>\n<h1>{escape(title)}</h1>\n<dl class="facts">{listed}</dl>{contents}\n'
        f'<h2 id="figures">Figures</h2>{figure_table(result)}\n{sections}\n</main></body></html>\n'
    )


def _section(task: Task, place: int) -> str:
    first = task.rows[0] if task.rows else {}
    if 'direction' in first and 'rank' in first:
        kind, inside = 'retrieval', retrieval_section(task)
    elif any('score' in row for row in task.rows):
        kind, inside = 'questions', questions_section(task)
    elif any('truth' in row and 'prediction' in row for row in task.rows):
        kind, inside = 'captions', captions_section(task)
    else:
        kind = 'predictions'
        text = f'{len(task.rows):,} predictions without a truth: nothing about them can be right or wrong.'
        inside = task.unreadable() + notice(text)
    title = kind.capitalize() + f' <small>{said(task.prefix)}</small>' * (not kind.startswith(task.prefix))
    return f'<section id="s{place}" class="task {kind}"><h2>{title}</h2>{inside}</section>'


def _below(prefix: str | None, named: Mapping[str, Any]) -> dict[str, Any]:
    before = f'{prefix}/' if prefix else ''
    return {name.removeprefix(before): value for name, value in named.items() if name.startswith(before)}


def _nothing(name: str) -> np.ndarray:
    raise FileNotFoundError('the report was written without the files')


def _small(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames that are not larger than they are shown."""
    height, width = frames[0].shape[:2]
    factor = min(TALLEST / height, WIDEST / (width * len(frames)))
    if factor >= 1:
        return np.asarray(frames)
    size = (max(1, round(factor * width)), max(1, round(factor * height)))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.LANCZOS)) for frame in frames])
