"""Page of written answers: what models said about pictures, beside the truth, right and wrong marked."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from .answers_style import ANSWERS_STYLE
from .gallery_style import STYLE

#: Pictures are enlarged to about this width, by whole numbers, so that their pixels stay what they are.
SHOWN_WIDTH = 192


@dataclass(frozen=True)
class Asked:
    """One question about a picture, or the picture's caption, and what was written.

    Args:
        truths: All right texts; the first is shown. Empty where nobody knows.
        answers: What was written, by the name of the run that wrote it.
        question: Defaults to '', for captions.
    """

    truths: Sequence[str]
    answers: Mapping[str, str]
    question: str = ''

    def is_right(self, run: str) -> bool:
        """Whether the run wrote one of the right texts, exactly."""
        return self.answers[run] in self.truths


@dataclass(frozen=True)
class AnswerCard:
    """A picture and all that was asked about it.

    Args:
        picture: Its name, for ``load_picture``.
        asked: What was asked, in the order to show.
    """

    picture: str
    asked: Sequence[Asked]


def write_answers(
    path: str,
    title: str,
    cards: Sequence[AnswerCard],
    load_picture: Callable[[str], np.ndarray],
    scores: Sequence[Mapping[str, str]] = (),
    note: str = '',
) -> None:
    """Write a self-contained page (pictures embedded, no script, no external resource; light and dark).

    Args:
        path: HTML file to write; its folder is made.
        title: Heading of the page.
        cards: Pictures in the order to show.
        load_picture: Name to picture, uint8 RGB (H, W, 3). A picture that it cannot load (``OSError``) is shown as an
            empty frame with its name.
        scores: Rows of the table at the top, all with the same keys in the same order, its headings. Defaults to (), no
            table.
        note: Text below the heading. Defaults to ''.
    """
    body = '\n'.join(_card(card, load_picture) for card in cards)
    table = _table(scores) if scores else ''
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}{ANSWERS_STYLE}</style></head>\n'
        f'<body><main>\n<h1>{escape(title)}</h1>\n<p>{escape(note)}</p>\n{table}\n<div class="cards">\n{body}\n</div>\n'
        '</main></body></html>\n',
        encoding='utf-8',
    )


def _table(scores: Sequence[Mapping[str, str]]) -> str:
    head = ''.join(f'<th>{escape(name)}</th>' for name in scores[0])
    rows = ''.join(f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row.values())}</tr>' for row in scores)
    return f'<div class="scores"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _card(card: AnswerCard, load_picture: Callable[[str], np.ndarray]) -> str:
    asked = ''.join(_asked(asked) for asked in card.asked)
    return f'<section class="query card">{_picture(card.picture, load_picture)}<div>{asked}</div></section>'


def _picture(name: str, load_picture: Callable[[str], np.ndarray]) -> str:
    try:
        pixels = load_picture(name)
    except OSError:
        return f'<div class="picture missing">{escape(name)} cannot be read</div>'
    picture = Image.fromarray(pixels)
    factor = max(1, round(SHOWN_WIDTH / picture.width))
    picture = picture.resize((factor * picture.width, factor * picture.height), Image.NEAREST)
    stream = io.BytesIO()
    picture.save(stream, 'PNG')
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img class="picture" alt="{escape(name)}" src="data:image/png;base64,{data}">'


def _asked(asked: Asked) -> str:
    question = f'<h3>{escape(asked.question)}</h3>' if asked.question else ''
    truth = asked.truths[0] if asked.truths else ''
    shown = f'<div class="truth"><span>truth</span>{escape(truth) or "not known"}</div>'
    rows = []
    for run, answer in asked.answers.items():
        right = asked.is_right(run)
        kind, badge, text = ('right', 'top', escape(answer)) if right else ('wrong', 'far', with_marks(answer, truth))
        if not asked.truths:
            rows.append(f'<div class="answer"><span>{escape(run)}</span><q>{escape(answer)}</q></div>')
            continue
        mark = f'<b class="rank {badge}">{kind}</b>'
        rows.append(f'<div class="answer {kind}"><span>{escape(run)}</span><q>{text}</q>{mark}</div>')
    return f'<div class="asked">{question}{shown}{"".join(rows)}</div>'


def with_marks(answer: str, truth: str) -> str:
    """The answer with the words marked that are not the truth's."""
    if not answer:
        return '<i>nothing</i>'
    said, true = answer.split(), truth.split()
    parts = []
    for kind, start, end, _, _ in SequenceMatcher(None, said, true, autojunk=False).get_opcodes():
        words = escape(' '.join(said[start:end]))
        if words:
            parts.append(words if kind == 'equal' else f'<mark>{words}</mark>')
    return ' '.join(parts)
