"""Page of samples: what a model gets of them, as pictures, tokens and fields; no script, no external resource."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from .gallery_style import STYLE
from .samples_style import SAMPLES_STYLE

#: Kinds of tokens, and what a reader is told of them.
TOKEN_KINDS = dict(
    plain='read by the model',
    learned='counted by the loss',
    special='not of the text: begins, ends or stands for something',
    unknown='not in the vocabulary',
    cut='cut off, never seen',
)
#: Smaller pictures are enlarged by whole numbers, so that their pixels stay what they are.
SMALL = 112


@dataclass(frozen=True)
class Token:
    """A token as it reads, its kind (of :data:`TOKEN_KINDS`), and how often it stands there in a row."""

    text: str
    kind: str = 'plain'
    times: int = 1


@dataclass(frozen=True)
class ShownText:
    """A text of a sample.

    Attributes:
        name: The field, such as ``question``.
        text: As it reaches the tokenizer.
        annotated: As the annotations have it, where that differs. Defaults to ''.
        tokens: Empty where no tokenizer could be loaded.
        note: Such as how many tokens there are. Defaults to ''.
    """

    name: str
    text: str
    annotated: str = ''
    tokens: Sequence[Token] = ()
    note: str = ''


@dataclass(frozen=True)
class ShownPicture:
    """Pixels, uint8 (H, W, 3), and what stands below."""

    pixels: np.ndarray
    note: str = ''


@dataclass(frozen=True)
class View:
    """A sample as it came out of the transforms once.

    Attributes:
        pictures: In order.
        texts: In order.
        error: Why there is nothing else: the sample cannot be read. Defaults to ''.
        note: Of the pictures. Defaults to ''.
    """

    pictures: Sequence[ShownPicture] = ()
    texts: Sequence[ShownText] = ()
    error: str = ''
    note: str = ''


@dataclass(frozen=True)
class Card:
    """A sample: its number in the set, its name, views of it (several where it is drawn several times), and fields."""

    index: int
    name: str
    views: Sequence[View]
    facts: Sequence[tuple[str, str]] = field(default_factory=list)


def write_samples(
    path: str | Path, title: str, facts: Sequence[tuple[str, str]], sets: Sequence[tuple[str, str, Sequence[Card]]]
) -> None:
    """Writes the page.

    Args:
        path: HTML file to write; its folder is made.
        title: Heading.
        facts: Of the page, such as mean and standard deviation.
        sets: Name of each set, a line about it, and its cards.
    """
    body = [f'<h1>{escape(title)}</h1>', _facts(facts), _legend(sets)]
    for name, note, cards in sets:
        body += [f'<h2>{escape(name)}</h2><p>{escape(note)}</p>', *map(_card, cards)]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}{SAMPLES_STYLE}</style></head>\n'
        '<body><main>\n' + '\n'.join(body) + '\n</main></body></html>\n',
        encoding='utf-8',
        errors='replace',
    )


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ''
    rows = ''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in facts)
    return f'<dl>{rows}</dl>'


def _legend(sets: Sequence[tuple[str, str, Sequence[Card]]]) -> str:
    """The kinds of tokens that are on the page."""
    texts = [text for *_, cards in sets for card in cards for view in card.views for text in view.texts]
    kinds = {token.kind for text in texts for token in text.tokens}
    found = [f'<span class="t {kind}">{kind}</span> {said}' for kind, said in TOKEN_KINDS.items() if kind in kinds]
    return f'<p class="legend">Tokens: {" &ensp; ".join(found)}</p>' if found else ''


def _card(card: Card) -> str:
    several = len(card.views) > 1
    views = ''.join(_view(view, f'draw {number}' * several) for number, view in enumerate(card.views, start=1))
    head = f'<div class="head"><h3>{escape(card.name)}</h3><span class="number">sample {card.index:,}</span></div>'
    return f'<section class="query">{head}{views}{_facts(card.facts)}</section>'


def _view(view: View, title: str) -> str:
    parts = [f'<h4>{title}</h4>'] if title else []
    if view.error:
        parts.append(f'<p class="error"><b>cannot be used</b> {escape(view.error)}</p>')
    if view.pictures:
        parts.append(f'<div class="frames">{"".join(map(_picture, view.pictures))}</div>')
    if view.note:
        parts.append(f'<p class="small">{escape(view.note)}</p>')
    return f'<div class="view">{"".join(parts)}{"".join(map(_text, view.texts))}</div>'


def _picture(picture: ShownPicture) -> str:
    height, width = picture.pixels.shape[:2]
    times = max(1, -(-SMALL // width))
    stream = io.BytesIO()
    # A few kilobytes as they are; photographs at a quality at which no eye sees a difference.
    small = height * width <= 128 * 128
    Image.fromarray(picture.pixels).save(stream, 'PNG' if small else 'JPEG', **({} if small else dict(quality=92)))
    data = base64.b64encode(stream.getvalue()).decode()
    kind = 'png' if small else 'jpeg'
    note = f'<figcaption>{escape(picture.note)}</figcaption>' if picture.note else ''
    return (
        f'<figure><img alt="{escape(picture.note or "picture")}" width="{width * times}" '
        f'src="data:image/{kind};base64,{data}">{note}</figure>'
    )


def _text(text: ShownText) -> str:
    annotated = f'<div class="annotated"><span>annotated</span>{escape(text.annotated)}</div>' if text.annotated else ''
    note = f'<span class="small">{escape(text.note)}</span>' if text.note else ''
    tokens = ''.join(map(_token, text.tokens))
    shown = f'<div class="tokens">{tokens}</div>' if tokens else ''
    said, empty = (escape(text.text), '') if text.text else ('empty text', ' empty')
    plain = f'<div class="plain{empty}">{said}</div>'
    return f'<div class="text"><div class="name">{escape(text.name)} {note}</div>{annotated}{plain}{shown}</div>'


def _token(token: Token) -> str:
    times = f'<sub>× {token.times:,}</sub>' if token.times > 1 else ''
    return f'<span class="t {token.kind}">{escape(token.text)}{times}</span>'
