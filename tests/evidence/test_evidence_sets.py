"""Sets of pictures: splits that keep what belongs together, grounds, lines that our readers take."""

import json

import pytest
from PIL import Image

from vlpeft.evidence.pictures import (
    GROUNDS,
    SHARES,
    STAGED,
    Picture,
    on_ground,
    read_annotations,
    read_stamps,
    split_groups,
    write_captioned,
    write_easy_vqa,
    write_set,
    write_staged,
)


def test_splits_have_their_shares_and_depend_on_no_order():
    names = [f'n{number}' for number in range(200)]
    splits = split_groups(names)
    assert splits == split_groups(reversed(names))
    assert {split: list(splits.values()).count(split) for split in SHARES} == dict(train=120, val=30, test=50)


def test_pictures_of_one_caption_are_on_one_side(tmp_path):
    image = Image.new('RGB', (4, 4))
    pictures = [(f'group {n // 2}', Picture(f'{n}.png', [f'caption {n // 2}'], image)) for n in range(40)]
    counts = write_captioned(pictures, tmp_path)
    assert sum(counts.values()) == 40 and all(count % 2 == 0 for count in counts.values())
    captions = {
        split: {json.loads(line)['caption'][0] for line in (tmp_path / f'{split}.jsonl').read_text().splitlines()}
        for split in counts
    }
    assert not captions['train'] & captions['test'] and not captions['train'] & captions['val']


def test_what_is_transparent_becomes_white():
    image = Image.new('RGBA', (600, 300), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 300, 300))
    seen = on_ground(image)
    assert seen.mode == 'RGB' and seen.size == (256, 128)
    assert seen.getpixel((20, 60)) == (255, 0, 0) and seen.getpixel((230, 60)) == (255, 255, 255)


def test_stamps_have_the_first_line_as_caption_and_no_mirrored_copies(tmp_path):
    folder = tmp_path / 'usr/share/tuxpaint/stamps/animals/birds'
    folder.mkdir(parents=True)
    for name in ('owl', 'owl_mirror'):
        Image.new('LA', (8, 8)).save(folder / f'{name}.png')
    (folder / 'owl.txt').write_text('A Brown owl. \nde.utf8=Eine Eule\n', encoding='utf-8')
    ((group, picture),) = read_stamps(tmp_path)
    assert (group, picture.name, picture.captions) == ('a brown owl.', 'animals_birds_owl.png', ['A Brown owl.'])


def test_staged_stamps_are_what_their_captions_say(tmp_path):
    """A stamp that is red above and transparent below: grounds, sides and greys are looked up in the pictures."""
    folder = tmp_path / 'package/usr/share/tuxpaint/stamps'
    folder.mkdir(parents=True)
    stamp = Image.new('RGBA', (8, 8))
    stamp.paste((255, 0, 0, 255), (0, 0, 8, 4))
    for number in range(20):
        stamp.save(folder / f'flag{number}.png')
        (folder / f'flag{number}.txt').write_text(f'A flag {number}.', encoding='utf-8')
    (tmp_path / 'set').mkdir()
    counts = write_staged(tmp_path / 'package', tmp_path / 'set')
    assert counts == {split: round(20 * share) * STAGED[split] for split, share in SHARES.items()}
    seen = set()
    for split in counts:
        for line in map(json.loads, (tmp_path / f'set/{split}.jsonl').read_text().splitlines()):
            how, _, what = line['caption'][0].partition(': ')
            *ways, ground = how.split(', ')
            with Image.open(tmp_path / 'set' / line['image']) as image:
                above, below = image.getpixel((4, 1)), image.getpixel((4, 6))
            if 'upside down' in ways:
                above, below = below, above
            colour = GROUNDS[ground.removeprefix('on ')]
            assert above == ((76, 76, 76) if 'grey' in ways else (255, 0, 0))  # ITU-R 601: 0.299 of 255
            assert '#{:02x}{:02x}{:02x}'.format(*below) == colour and what.startswith('A flag')
            seen.add((*ways, ground))
    assert len(seen) > 12


def test_names_and_keywords_of_emoji(tmp_path):
    entries = (
        '<annotation cp="🐶">dog | face</annotation><annotation cp="🐶" type="tts">dog face</annotation>'
        '<annotation cp="☀️" type="tts">sun</annotation><annotation cp="👋🏽" type="tts">a hand</annotation>'
    )
    for kind, body in (('annotations', entries), ('annotationsDerived', '')):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / 'en.xml').write_text(f'<ldml><annotations>{body}</annotations></ldml>', encoding='utf-8')
    assert read_annotations(tmp_path) == {'🐶': ['dog face', 'dog, face'], '☀': ['sun']}


def test_questions_of_one_picture_are_on_one_side(tmp_path):
    for part, count in (('train', 20), ('test', 2)):
        folder = tmp_path / 'source/easy_vqa/data' / part
        (folder / 'images').mkdir(parents=True)
        for number in range(count):
            Image.new('RGB', (8, 8)).save(folder / f'images/{number}.png')
        asked = [[f'what is {word}?', word, number] for number in range(count) for word in ('red', 'blue')]
        (folder / 'questions.json').write_text(json.dumps(asked))
    counts = write_set(tmp_path / 'set', lambda target, source: write_easy_vqa(source, target), tmp_path / 'source')
    assert counts == dict(train=36, val=4, test=4)
    rows = {
        split: [json.loads(line) for line in (tmp_path / f'set/{split}.jsonl').read_text().splitlines()]
        for split in counts
    }
    assert rows['test'][0] == dict(image='images/test/0.png', question='what is red?', answer='red')
    images = {split: {row['image'] for row in found} for split, found in rows.items()}
    assert not images['train'] & images['val'] and all((tmp_path / 'set' / name).is_file() for name in images['val'])


def test_a_set_that_fails_leaves_nothing(tmp_path):
    def fail(target):
        (target / 'half.jsonl').write_text('{}')
        raise OSError('disk full')

    with pytest.raises(OSError):
        write_set(tmp_path / 'set', fail)
    assert list(tmp_path.iterdir()) == []
