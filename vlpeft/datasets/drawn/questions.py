"""Captions in one fixed style, and questions with one true answer each, of stills of one circle or of equal circles.

Such a caption tells everything, always in the same order, so a written one is right or wrong as a whole. All things are
circles, because the vision tower of the small BLIP that vlpeft brings hardly tells shapes apart, and nothing is said of
places, which take longer to learn than a quickstart lasts.
"""

from dataclasses import replace
from random import Random

from .captions import COUNTS
from .scenes import COLOURS, Scene, draw_still

NUMBERS = {1: 'one', **COUNTS}
#: The share of stills of one circle that are asked for the number; groups always are.
LONE_COUNT_SHARE = 0.4

Question = tuple[str, str]


def draw_circles(rng: Random) -> Scene:
    """Draw a still of one circle, or of two to four equal ones."""
    while True:
        scene = draw_still(rng)
        if scene.is_group or len(scene.things) == 1:
            return replace(scene, things=tuple(replace(thing, shape='circle') for thing in scene.things))


def state_circles(scene: Scene) -> str:
    """The one caption, such as "a small red circle on a gray background"."""
    thing, count = scene.things[0], len(scene.things)
    look = f'{thing.size} {thing.colour}'
    if count > 1:
        return f'{COUNTS[count]} {look} circles on a {scene.background} background'
    return f'a {look} circle on a {scene.background} background'


def ask_circles(scene: Scene, rng: Random) -> list[Question]:
    """Questions and their answers, one of each kind.

    Args:
        scene: The still.
        rng: Draws what the last question asks after, and which stills of one circle are asked for the number.

    Returns:
        Questions after the background, colour, size and number, and after presence: half of these are answered "yes".
    """
    thing, count = scene.things[0], len(scene.things)
    those = 'is the circle' if count == 1 else 'are the circles'
    asked = [
        ('what colour is the background?', scene.background),
        (f'what colour {those}?', thing.colour),
        (f'how large {those}?', thing.size),
    ]
    if count > 1 or rng.random() < LONE_COUNT_SHARE:
        asked.append(('how many circles are there?', NUMBERS[count]))
    is_there = rng.random() < 0.5
    colour = thing.colour if is_there else rng.choice([other for other in COLOURS if other != thing.colour])
    return [*asked, (f'is there a {colour} circle?', 'yes' if is_there else 'no')]


def combination(scene: Scene) -> tuple:
    """What is kept out of training pictures for the test: number, size, colour and background together."""
    return len(scene.things), scene.things[0].size, scene.things[0].colour, scene.background
