"""Words and templates of the quickstart's captions.

Stills use one plain word for each fact. Clips tell the same facts in another style: half of the words are synonyms
that no still has, and events have no word in the stills at all. So a model that was pre-trained on the stills must be
adapted.
"""

from random import Random

from scenes import CELLS, Scene, Thing

SYNONYMS = {
    'red': ('crimson', 'scarlet'), 'green': ('emerald', 'jade'), 'blue': ('azure', 'cobalt'),
    'yellow': ('golden', 'lemon'), 'purple': ('violet', 'plum'), 'cyan': ('turquoise', 'teal'),
    'circle': ('disc', 'ball'), 'square': ('box', 'block'), 'triangle': ('wedge', 'pyramid'),
    'cross': ('plus', 'crosshair'),
    'small': ('tiny', 'little'), 'large': ('big', 'huge'),
    'black': ('dark', 'inky'), 'gray': ('ashen', 'slate'), 'white': ('pale', 'snowy'),
}
SYNONYM_SHARE = 0.6

# Each paraphrase twice: after a subject ("a disc slides") and as an attribute ("a disc sliding").
EVENT_PHRASES = {
    # Not "does not move": that is also true of a thing that blinks or changes size.
    'still': (('stays unchanged', 'staying unchanged'), ('does nothing', 'doing nothing'),
              ('remains the same', 'remaining the same')),
    'horizontal': (('moves horizontally', 'moving horizontally'), ('slides sideways', 'sliding sideways'),
                   ('drifts along a level path', 'drifting along a level path')),
    'vertical': (('moves vertically', 'moving vertically'), ('climbs or falls', 'climbing or falling'),
                 ('travels along an upright path', 'travelling along an upright path')),
    'diagonal': (('moves diagonally', 'moving diagonally'), ('glides on a slant', 'gliding on a slant'),
                 ('follows an oblique path', 'following an oblique path')),
    'blink': (('blinks', 'blinking'), ('flashes on and off', 'flashing on and off'),
              ('keeps vanishing', 'that keeps vanishing')),
    'resize': (('changes size', 'changing size'), ('varies in scale', 'varying in scale'),
               ('swells or shrinks', 'swelling or shrinking')),
    'recolour': (('switches between {} and {}', 'switching between {} and {}'),
                 ('alternates {} with {}', 'alternating {} with {}'),
                 ('wears {} and {} by turns', 'wearing {} and {} by turns')),
}
JOINT_PHRASES = {
    'turns': ('take turns', 'appear one at a time', 'are never visible at once'),
    'together': ('blink together', 'appear and vanish in unison', 'flash at the same moment'),
}
OPENINGS = ('', '', '', 'footage of ', 'in this clip ', 'we watch ')
LONE = ('single', 'lone', 'solitary')
LINKS = (' while ', ' as ', ' and ')
BACKDROPS = ('against a {} backdrop', 'over a {} scene')
COUNTS = {2: 'two', 3: 'three', 4: 'four'}
PLURALS = {'circle': 'circles', 'square': 'squares', 'triangle': 'triangles', 'cross': 'crosses'}


def with_article(phrase: str) -> str:
    """``'azure disc'`` -> ``'an azure disc'``."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def _word(plain: str, rng: Random) -> str:
    return rng.choice(SYNONYMS[plain]) if rng.random() < SYNONYM_SHARE else plain


def _clip_subject(thing: Thing, is_alone: bool, rng: Random) -> str:
    words = [rng.choice(LONE)] if is_alone else []
    if thing.event != 'resize' and rng.random() < 0.4:
        words.append(_word(thing.size, rng))
    if thing.event != 'recolour':
        words.append(_word(thing.colour, rng))
    words.append(_word(thing.shape, rng))
    return with_article(' '.join(words))


def _clip_clause(thing: Thing, is_alone: bool, is_attribute: bool, rng: Random) -> str:
    phrase = rng.choice(EVENT_PHRASES[thing.event])[is_attribute]
    if thing.event == 'recolour':
        colours = [_word(thing.colour, rng), _word(thing.second_colour, rng)]
        rng.shuffle(colours)
        phrase = phrase.format(*colours)
    return f'{_clip_subject(thing, is_alone, rng)} {phrase}'


def describe_clip(scene: Scene, rng: Random) -> str:
    """One caption of a clip; it always states the colour, shape and event of every thing, other facts sometimes.

    Args:
        scene: The clip.
        rng: Draws the template and the words.

    Returns:
        A lower-case caption of at most 30 words.
    """
    things = list(scene.things)
    rng.shuffle(things)
    opening = rng.choice(OPENINGS)
    if scene.joint:
        body = ' and '.join(_clip_subject(t, False, rng) for t in things) + ' ' + rng.choice(JOINT_PHRASES[scene.joint])
        opening = opening.replace('footage of ', '').replace('we watch ', 'we watch how ')
    else:
        is_attribute = opening in ('footage of ', 'we watch ')
        clauses = [_clip_clause(t, len(things) == 1, is_attribute, rng) for t in things]
        body = rng.choice(LINKS[2:] if is_attribute else LINKS).join(clauses)
    backdrop = rng.choice(BACKDROPS).format(_word(scene.background, rng)) if rng.random() < 0.4 else ''
    # "a ashen" and "a inky" come from the fixed article of the backdrop.
    backdrop = backdrop.replace(' a ashen', ' an ashen').replace(' a inky', ' an inky')
    return f'{opening}{body} {backdrop}'.strip()


def _still_thing(thing: Thing, with_size: bool) -> str:
    return f'{thing.size} {thing.colour} {thing.shape}' if with_size else f'{thing.colour} {thing.shape}'


def describe_still(scene: Scene, rng: Random, is_full: bool = False) -> str:
    """One caption of a still.

    Args:
        scene: The still.
        rng: Draws the template.
        is_full: State everything of ``Scene.claims``. Defaults to False.

    Returns:
        A lower-case caption of at most 30 words.
    """
    things = list(scene.things)
    rng.shuffle(things)
    opening = rng.choice(('', '', 'a picture of ', 'there are ' if scene.is_group else 'there is '))
    with_size = is_full or rng.random() < 0.6
    if scene.is_group:
        words = _still_thing(things[0], with_size).split()
        body = ' '.join([COUNTS[len(things)], *words[:-1], PLURALS[words[-1]]])
    elif len(things) == 2 and not is_full and rng.random() < 0.4:
        body = _still_relation(things, with_size, rng)
    else:
        with_place = is_full or rng.random() < 0.7
        parts = [with_article(_still_thing(t, with_size)) + (f' at the {CELLS[t.cell]}' if with_place else '')
                 for t in things]
        body = ' and '.join(parts)
    background = f' on a {scene.background} background' if rng.random() < 0.5 else ''
    return opening + body + background


def _still_relation(things: list[Thing], with_size: bool, rng: Random) -> str:
    one, two = things
    relations = []
    for axis, before, after in ((0, 'left of', 'right of'), (1, 'above', 'below')):
        # Cells of the same row or column differ by jitter only, which is no relation.
        if abs(one.start[axis] - two.start[axis]) > 10:
            relations.append(before if one.start[axis] < two.start[axis] else after)
    subjects = [with_article(_still_thing(t, with_size)) for t in things]
    return f'{subjects[0]} {rng.choice(relations)} {subjects[1]}'
