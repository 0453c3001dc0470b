"""Words and templates of the captions of drawn stills and clips.

Stills tell what is where, mostly in plain words. Clips tell in another style what happens over time, half of the time
in synonyms, and of events no still has a word. So a model that was pre-trained on stills knows the things in a clip,
and must be adapted to what they do.
"""

from random import Random

from .scenes import CELLS, Scene, Thing

SYNONYMS = {
    'red': 'crimson',
    'green': 'emerald',
    'blue': 'azure',
    'yellow': 'golden',
    'purple': 'violet',
    'cyan': 'turquoise',
    'circle': 'disc',
    'square': 'box',
    'triangle': 'wedge',
    'cross': 'plus',
    'ring': 'hoop',
    'diamond': 'rhombus',
    'small': 'tiny',
    'large': 'big',
    'black': 'dark',
    'gray': 'ashen',
    'white': 'pale',
}
SYNONYM_SHARE = 0.5
STILL_SYNONYM_SHARE = 0.3
# How often a clip's caption states the size of a thing, and the background.
ASIDE_SHARE = 0.25

EVENT_PHRASES = {
    # Not "does not move": that is also true of a thing that blinks or changes size.
    'still': 'stays unchanged',
    'horizontal': 'slides sideways',
    'vertical': 'climbs or falls',
    'blink': 'keeps vanishing',
    'resize': 'swells or shrinks',
    'recolour': 'switches between {} and {}',
}
JOINT_PHRASES = {
    'turns': 'take turns',
    'together': 'flash in unison',
}
LONE = ('single', 'lone')
LINKS = (' while ', ' and ')
COUNTS = {2: 'two', 3: 'three', 4: 'four'}


def with_article(phrase: str) -> str:
    """``'azure disc'`` -> ``'an azure disc'``."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def plural(shape: str) -> str:
    """``'box'`` -> ``'boxes'``."""
    return f'{shape}es' if shape.endswith(('s', 'x')) else f'{shape}s'


def _word(plain: str, rng: Random, share: float = SYNONYM_SHARE) -> str:
    return SYNONYMS[plain] if rng.random() < share else plain


def _still_word(plain: str, rng: Random) -> str:
    return _word(plain, rng, STILL_SYNONYM_SHARE)


def _clip_subject(thing: Thing, is_alone: bool, rng: Random) -> str:
    words = [rng.choice(LONE)] if is_alone else []
    if thing.event != 'resize' and rng.random() < ASIDE_SHARE:
        words.append(_word(thing.size, rng))
    if thing.event != 'recolour':
        words.append(_word(thing.colour, rng))
    words.append(_word(thing.shape, rng))
    return with_article(' '.join(words))


def _clip_clause(thing: Thing, is_alone: bool, rng: Random) -> str:
    phrase = EVENT_PHRASES[thing.event]
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
    if scene.joint:
        body = ' and '.join(_clip_subject(t, False, rng) for t in things) + ' ' + JOINT_PHRASES[scene.joint]
    else:
        body = rng.choice(LINKS).join(_clip_clause(t, len(things) == 1, rng) for t in things)
    if rng.random() >= ASIDE_SHARE:
        return body
    return f'{body} against {with_article(_word(scene.background, rng))} backdrop'


def _still_thing(thing: Thing, with_size: bool, rng: Random) -> str:
    facts = (thing.size, thing.colour, thing.shape) if with_size else (thing.colour, thing.shape)
    return ' '.join(_still_word(fact, rng) for fact in facts)


def describe_still(scene: Scene, rng: Random, is_full: bool = False) -> str:
    """One caption of a still.

    Args:
        scene: The still.
        rng: Draws the template.
        is_full: State everything of ``Scene.claims``. Defaults to False.

    Returns:
        A lower-case caption of at most 30 words.
    """
    if not scene.things:
        return rng.choice(('nothing on a {} background', 'an empty picture on a {} background')).format(
            scene.background
        )
    things = list(scene.things)
    rng.shuffle(things)
    opening = rng.choice(('', '', 'a picture of ', 'there are ' if scene.is_group else 'there is '))
    with_size = is_full or rng.random() < 0.6
    if scene.is_group:
        words = _still_thing(things[0], with_size, rng).split()
        body = ' '.join([COUNTS[len(things)], *words[:-1], plural(words[-1])])
    elif len(things) == 2 and not is_full and rng.random() < 0.4:
        body = _still_relation(things, with_size, rng)
    else:
        with_place = is_full or rng.random() < 0.7
        lone = f'{rng.choice(LONE)} ' if len(things) == 1 and rng.random() < 0.3 else ''
        parts = [
            with_article(lone + _still_thing(t, with_size, rng)) + (f' at the {CELLS[t.cell]}' if with_place else '')
            for t in things
        ]
        body = ' and '.join(parts)
    if rng.random() < 0.5:
        background = with_article(_still_word(scene.background, rng))
        body += rng.choice((f' on {background} background', f' against {background} backdrop'))
    return opening + body


def _still_relation(things: list[Thing], with_size: bool, rng: Random) -> str:
    one, two = things
    relations = []
    for axis, before, after in ((0, 'left of', 'right of'), (1, 'above', 'below')):
        # Things apart by more than a little; two that do not touch are so along one axis at least.
        if abs(one.start[axis] - two.start[axis]) > 9:
            relations.append(before if one.start[axis] < two.start[axis] else after)
    subjects = [with_article(_still_thing(t, with_size, rng)) for t in things]
    return f'{subjects[0]} {rng.choice(relations)} {subjects[1]}'
