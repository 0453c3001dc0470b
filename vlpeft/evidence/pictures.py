"""The pictures of the evidence studies as sets of one's own: emoji, Tux Paint's stamps, easy-VQA.

What belongs together is never on two sides of a split: pictures whose captions differ in case at most, and emoji of one
concept, whatever their variation selectors; those with tones of skin are left out.
"""

import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

#: What staged stamps stand on, and how many of each stamp there are in a split.
GROUNDS = dict(red='#d64545', green='#3f9b4f', blue='#3f6fd1', yellow='#ecc94b', black='#202020', white='#ffffff')
STAGED = dict(train=6, val=2, test=3)
#: Longest side of a written picture; the towers see at most 224 pixels.
LARGEST = 256
SHARES = dict(train=0.6, val=0.15, test=0.25)


class Picture(NamedTuple):
    """A captioned picture: the name of its file below the set, and its captions, the best first."""

    name: str
    captions: list[str]
    image: Image.Image


def split_groups(groups: Iterable[str], shares: Mapping[str, float] = SHARES) -> dict[str, str]:
    """The split of each group: shuffled with seed 0, then cut by the shares of the groups.

    Args:
        groups: Names; their order does not matter.
        shares: Of each split; they add up to 1.
    """
    names = sorted(set(groups))
    random.Random(0).shuffle(names)
    found, start = {}, 0.0
    for split, share in shares.items():
        first, start = round(start * len(names)), start + share
        found.update(dict.fromkeys(names[first : round(start * len(names))], split))
    return found


def on_ground(image: Image.Image, colour: str = 'white') -> Image.Image:
    """RGB, on a colour where it is transparent, the longest side at most 256 pixels."""
    image = image.convert('RGBA')
    image = Image.alpha_composite(Image.new('RGBA', image.size, colour), image).convert('RGB')
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image


def read_stamps(folder: Path) -> Iterable[tuple[str, Picture]]:
    """Tux Paint's stamps: (group, picture). Captions are the first lines of the text files, in English."""
    for path, name, caption in _stamps(folder):
        with Image.open(path) as image:
            yield caption.lower(), Picture(name + '.png', [caption], on_ground(image))


def _stamps(folder: Path) -> Iterable[tuple[Path, str, str]]:
    """File, name and caption of each stamp."""
    root = folder / 'usr/share/tuxpaint/stamps'
    for path in sorted(root.rglob('*.png')):
        text = path.with_suffix('.txt')
        if not text.is_file():
            continue  # a mirrored copy
        caption = text.read_text(encoding='utf-8').splitlines()[0].strip()
        yield path, '_'.join(path.relative_to(root).with_suffix('').parts), caption


def read_emoji(font: Path, names: Path) -> Iterable[tuple[str, Picture]]:
    """Emoji: (group, picture). The captions are the name and the keywords of Unicode's annotations, in English."""
    from .emoji_font import EmojiFont

    glyphs = EmojiFont(font / 'usr/share/fonts/truetype/noto/NotoColorEmoji.ttf')
    for text, captions in read_annotations(names / 'usr/share/unicode/cldr/common').items():
        if (image := glyphs.draw(text)) is not None:
            yield captions[0].lower(), Picture('-'.join(f'{ord(sign):x}' for sign in text) + '.png', captions, image)


def read_annotations(folder: Path) -> dict[str, list[str]]:
    """Name and keywords of each emoji, those with tones of skin left out."""
    from xml.etree import ElementTree

    named, keywords = {}, {}
    for kind in ('annotations', 'annotationsDerived'):
        for entry in ElementTree.parse(folder / kind / 'en.xml').iter('annotation'):
            text = entry.get('cp').replace('\ufe0f', '')
            if not re.search('[\U0001f3fb-\U0001f3ff]', text):
                (named if entry.get('type') == 'tts' else keywords)[text] = entry.text.strip()
    return {
        text: [name, *([keywords[text].replace(' | ', ', ')] if text in keywords else [])]
        for text, name in sorted(named.items())
    }


def write_captioned(pictures: Iterable[tuple[str, Picture]], target: Path) -> dict[str, int]:
    """Writes pictures and ``{split}.jsonl`` with their captions.

    Returns:
        Pictures of each split.
    """
    (target / 'images').mkdir(parents=True)
    found = list(pictures)
    splits = split_groups(group for group, _ in found)
    lines = defaultdict(list)
    for group, picture in found:
        picture.image.save(target / 'images' / picture.name)
        lines[splits[group]].append(dict(image=f'images/{picture.name}', caption=picture.captions))
    return write_lines(lines, target)


def write_staged(folder: Path, target: Path) -> dict[str, int]:
    """Tux Paint's stamps, each several times: on grounds of different colours, some of them upside down, some grey.

    The caption says how, and then what: "upside down, grey, on red: A frog."

    Returns:
        Pictures of each split. Stamps are in the splits of :func:`read_stamps`.
    """
    (target / 'images').mkdir(parents=True)
    stamps = list(_stamps(folder))
    splits = split_groups(caption.lower() for *_, caption in stamps)
    lines = defaultdict(list)
    for path, name, caption in stamps:
        split, draw = splits[caption.lower()], random.Random(name)
        for number, colour in enumerate(draw.sample(sorted(GROUNDS), STAGED[split])):
            upside_down, grey = draw.random() < 0.5, draw.random() < 0.3
            with Image.open(path) as image:
                staged = image.convert('RGBA')
            if grey:
                staged = Image.merge('RGBA', (*[staged.convert('L')] * 3, staged.getchannel('A')))
            if upside_down:
                staged = staged.transpose(Image.Transpose.ROTATE_180)
            how = ['upside down'] * upside_down + ['grey'] * grey + [f'on {colour}']
            on_ground(staged, GROUNDS[colour]).save(target / f'images/{name}-{number}.png')
            lines[split].append(dict(image=f'images/{name}-{number}.png', caption=[f'{", ".join(how)}: {caption}']))
    return write_lines(lines, target)


def write_easy_vqa(folder: Path, target: Path) -> dict[str, int]:
    """easy-VQA: the package's own test set, and of its training pictures one in ten to validate.

    Returns:
        Questions of each split.
    """
    lines = defaultdict(list)
    for part in ('train', 'test'):
        source = folder / 'easy_vqa/data' / part
        asked = json.loads((source / 'questions.json').read_text())
        splits = (
            dict.fromkeys({number for *_, number in asked}, 'test')
            if part == 'test'
            else {
                int(name): split
                for name, split in split_groups({str(number) for *_, number in asked}, dict(train=0.9, val=0.1)).items()
            }
        )
        (target / 'images' / part).mkdir(parents=True)
        for number in splits:
            with Image.open(source / 'images' / f'{number}.png') as image:
                on_ground(image).save(target / 'images' / part / f'{number}.png')
        for question, answer, number in asked:
            line = dict(image=f'images/{part}/{number}.png', question=question, answer=answer)
            lines[splits[number]].append(line)
    return write_lines(lines, target)


def write_set(target: Path, write: Callable[..., dict[str, int]], *folders: Path) -> dict[str, int]:
    """Makes the folder of a set, whole or not at all; ``write`` fills one of another name beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.writing-') as folder:
        part = Path(folder) / target.name
        part.mkdir()
        counts = write(part, *folders)
        part.rename(target)
    return counts


def write_lines(lines: Mapping[str, Sequence[dict]], target: Path) -> dict[str, int]:
    """``{split}.jsonl`` of each split; returns how many lines each has."""
    for split, rows in lines.items():
        text = ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)
        (target / f'{split}.jsonl').write_text(text, encoding='utf-8')
    return {split: len(rows) for split, rows in lines.items()}
