"""Retrieval gallery: one HTML file that shows what a model found for each query, the clips' frames inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from .clip_styles import ClipStyles
from .gallery_style import STYLE

SHOWN = 5


@dataclass(frozen=True)
class TextQuery:
    """A text and the clips found for it.

    Args:
        text: The query.
        true_clip: Name of its clip; None where nobody knows, as in a search.
        rank: 1-based rank of that clip in the whole gallery; None with it.
        ranked: Clips and scores, best first; the first 5 are shown.
    """

    text: str
    true_clip: str | None
    rank: int | None
    ranked: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class ClipQuery:
    """A clip and the texts found for it.

    Args:
        clip: Name of the query.
        true_texts: Its captions.
        rank: 1-based rank of the best of them among all texts.
        ranked: Texts and scores, best first; the first 5 are shown.
    """

    clip: str
    true_texts: Sequence[str]
    rank: int
    ranked: Sequence[tuple[str, float]]


def write_gallery(
    path: str,
    title: str,
    text_queries: Sequence[TextQuery],
    clip_queries: Sequence[ClipQuery],
    load_frames: Callable[[str], np.ndarray],
    captions: Mapping[str, str],
    note: str = '',
) -> None:
    """Write a self-contained page (frames as embedded JPEG, no script, no external resource; light and dark).

    Args:
        path: HTML file to write; its folder is made.
        title: Heading of the page.
        text_queries: Text-to-clip results; may be empty.
        clip_queries: Clip-to-text results; may be empty.
        load_frames: Clip name to its frames, uint8 RGB (T, H, W, 3) with T >= 2; called once for each clip on the page.
            T frames play in two seconds and are shown side by side. A clip for which it raises is shown as one that
            cannot be read.
        captions: Caption to show below each clip, by clip name.
        note: Text below the heading. Defaults to ''.
    """
    clips = _Clips(load_frames, captions)
    sections = []
    if text_queries:
        sections += ['<h2>Text to clip</h2>'] + [_text_card(query, clips) for query in text_queries]
    if clip_queries:
        sections += ['<h2>Clip to text</h2>'] + [_clip_card(query, clips) for query in clip_queries]
    body = '\n'.join(sections)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}{clips.style()}</style></head>\n'
        f'<body><main>\n<h1>{escape(title)}</h1>\n<p>{escape(note)}</p>\n{body}\n</main></body></html>\n',
        encoding='utf-8',
    )


class _Clips(ClipStyles):
    """The clips of a page, each with its caption."""

    def __init__(self, load_frames: Callable[[str], np.ndarray], captions: Mapping[str, str]) -> None:
        super().__init__(load_frames)
        self.captions = captions

    def figure(self, clip: str) -> str:
        """The playing clip and its frames side by side."""
        return self.play(clip, self.captions[clip]) + self.strip(clip)


def _text_card(query: TextQuery, clips: _Clips) -> str:
    found = []
    for place, (clip, score) in enumerate(query.ranked[:SHOWN], start=1):
        is_right = clip == query.true_clip
        mark = '<b>right one</b>' if is_right else ''
        found.append(
            f'<div class="clip{" right" * is_right}">{clips.figure(clip)}'
            f'<div class="note"><span>{place}. {mark}</span><span>{score:.2f}</span></div>'
            f'<div class="caption">{escape(clips.captions[clip])}</div></div>'
        )
    found = found or ['<div class="caption">nothing that can be read</div>']
    head = f'<div class="head"><h3>{escape(query.text)}</h3>{_rank_badge(query.rank)}</div>'
    return f'<section class="query">{head}<div class="clips">{"".join(found)}</div></section>'


def _clip_card(query: ClipQuery, clips: _Clips) -> str:
    rows = []
    for place, (text, score) in enumerate(query.ranked[:SHOWN], start=1):
        kind = ' class="right"' if text in query.true_texts else ''
        rows.append(f'<li{kind}><span>{place}. {escape(text)}</span><span class="score">{score:.2f}</span></li>')
    head = f'<div class="head"><h3>{escape(query.clip)}</h3>{_rank_badge(query.rank)}</div>'
    return (
        f'<section class="query">{head}<div class="reverse"><div class="clip">{clips.figure(query.clip)}'
        f'<div class="caption">{escape(clips.captions[query.clip])}</div></div>'
        f'<ol>{"".join(rows)}</ol></div></section>'
    )


def _rank_badge(rank: int | None) -> str:
    if rank is None:
        return ''
    kind = 'top' if rank == 1 else 'near' if rank <= SHOWN else 'far'
    return f'<span class="rank {kind}">rank {rank}</span>'
