"""Pieces of HTML that the tabs answer with. All texts are escaped here."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Side(NamedTuple):
    """One of the two columns.

    Args:
        title: Heading.
        body: HTML below it.
    """

    title: str
    body: str


def problem(text: str) -> str:
    """One line that says what is wrong; screen readers say it at once."""
    return f'<p class="vl-problem" role="alert">{escape(text)}</p>'


def hint(text: str) -> str:
    """One line of help."""
    return f'<p class="vl-hint">{escape(text)}</p>'


def missing(command: str) -> str:
    """What a tab without a model says."""
    return f'<p class="vl-missing">No model here. This makes one: <code>{escape(command)}</code></p>'


def columns(sides: Sequence[Side], below: str = '') -> str:
    """Columns beside each other, on a phone below each other; ``below`` is HTML under them."""
    cells = ''.join(
        f'<section class="vl-side" aria-label="{escape(side.title)}"><h3>{escape(side.title)}</h3>{side.body}</section>'
        for side in sides
    )
    return f'<div class="vl-sides">{cells}</div>{below}'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, a line each."""
    rows = ''.join(f'<div><dt>{escape(name)}</dt><dd>{breakable(value)}</dd></div>' for name, value in pairs)
    return f'<dl class="vl-facts">{rows}</dl>'


def breakable(text: str) -> str:
    """A text whose paths may go on in the next line after a slash."""
    return escape(text).replace('/', '/<wbr>')


def answer(text: str, score: float | None, truths: Sequence[str]) -> str:
    """What a model wrote; marked where it is one of the right texts."""
    right = '<span class="vl-right">right</span>' if text in truths else ''
    sure = '' if score is None else f'<p class="vl-score">score {score:.3f}</p>'
    return f'<p class="vl-answer">{escape(text) or "<i>(nothing)</i>"}{right}</p>{sure}'


def truth(texts: Sequence[str], name: str) -> str:
    """The right text of the test data, the first if there are several; nothing where it is not known."""
    return f'<p class="vl-truth">{escape(name)} of the test data: <b>{escape(texts[0])}</b></p>' if texts else ''


def clips(cards: Sequence[str]) -> str:
    """A ranked list."""
    return f'<ol class="vl-clips">{"".join(cards)}</ol>'


def clip(place: int, name: str, score: float, shown: str, is_right: bool) -> str:
    """An entry of a ranked list; ``shown`` is HTML that shows the file."""
    right = '<span class="vl-right">described by this text</span>' if is_right else ''
    return (
        f'<li class="vl-clip{" vl-is-right" * is_right}">{shown}'
        f'<p class="vl-line"><span>{place}. <b>{escape(name)}</b></span><span>{score:.2f}</span></p>{right}</li>'
    )


def video(address: str, name: str) -> str:
    """A file that the browser plays over and over; a click or Enter holds it and lets it go on."""
    return (
        f'<button type="button" class="vl-play" aria-label="{escape(name)}: play or pause" '
        'onclick="const clip = this.firstElementChild; clip.paused ? clip.play() : clip.pause()">'
        f'<video src="{escape(address)}" autoplay muted loop playsinline disablepictureinpicture '
        'onloadeddata="if (matchMedia(\'(prefers-reduced-motion: reduce)\').matches) this.pause()"></video></button>'
    )


def picture(address: str, name: str) -> str:
    """A picture, which may move."""
    return f'<img src="{escape(address)}" alt="{escape(name)}">'
