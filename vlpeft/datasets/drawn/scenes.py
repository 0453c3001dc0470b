"""What a drawn picture or clip shows: things of one shape and colour, and what happens to them.

No event depends on the order of the frames: a model that pools frames without a temporal embedding is blind to order,
so "moves along the horizontal axis" is fair and "moves to the left" is not.
"""

import math
from dataclasses import dataclass, replace
from random import Random

SIDE = 64
FRAMES = 16
COLOURS = ('red', 'green', 'blue', 'yellow', 'purple', 'cyan')
SHAPES = ('circle', 'square', 'triangle', 'cross', 'ring', 'diamond')
SIZES = ('small', 'large')
RADII = {'small': 6.0, 'large': 9.0}
# Of things in clips; in stills a size is a range.
CLIP_SCALE = 1.1
BACKGROUNDS = ('black', 'gray', 'white')
EVENTS = ('still', 'horizontal', 'vertical', 'blink', 'resize', 'recolour')
JOINT_EVENTS = ('turns', 'together')
# Places of stills: nine cells named row by row.
CELLS = ('top left', 'top', 'top right', 'left', 'center', 'right', 'bottom left', 'bottom', 'bottom right')
EMPTY_SHARE = 1 / 40

Look = tuple[str, str]
Point = tuple[float, float]


@dataclass(frozen=True)
class Thing:
    """One object: how it looks, what it does and where.

    Attributes:
        colour, shape, size: Words of ``COLOURS``, ``SHAPES`` and ``SIZES``.
        start, end: Centre in pixels in the first and last frame; equal unless it moves.
        event: Word of ``EVENTS``, or ``'joint'`` when the scene's joint event governs it.
        second_colour: The other colour of a ``recolour`` event.
        phase: Shift of the on/off pattern in frames.
        cell: Index into ``CELLS``; only for stills.
        scale: Factor of the radius.
    """

    colour: str
    shape: str
    size: str
    start: Point
    end: Point
    event: str = 'still'
    second_colour: str | None = None
    phase: int = 0
    cell: int = -1
    scale: float = 1.0

    @property
    def key(self) -> tuple:
        """What a full caption tells of the thing; the two colours of ``recolour`` have no order."""
        if self.cell >= 0:
            return self.size, self.colour, self.shape, self.cell
        return frozenset({self.colour, self.second_colour or self.colour}), self.shape, self.event

    def centre(self, frame: int) -> Point:
        """Centre (x, y) in pixels in one frame."""
        share = frame / (FRAMES - 1)
        return tuple(a + share * (b - a) for a, b in zip(self.start, self.end))

    def radius(self, frame: int) -> float:
        """Radius in pixels in one frame; ``resize`` goes evenly from half to the whole (or back, by ``phase``)."""
        if self.event != 'resize':
            return RADII[self.size] * self.scale
        share = frame / (FRAMES - 1)
        return RADII['large'] * (0.4 + 0.8 * (share if self.phase % 2 else 1 - share))

    def is_first_half(self, frame: int) -> bool:
        """The on/off pattern. Period 8 of 16 frames: any even choice of 4 or more frames sees both halves."""
        return (frame + self.phase) % 8 < 4


@dataclass(frozen=True)
class Scene:
    """Everything in one still or clip: a background, the things, and an event of both things if there is one.

    Attributes:
        background: Word of ``BACKGROUNDS``.
        things: One or two things; for a still also none, or two to four equal ones.
        joint: Word of ``JOINT_EVENTS``, or None when each thing has an event of its own.
    """

    background: str
    things: tuple[Thing, ...]
    joint: str | None = None

    @property
    def is_group(self) -> bool:
        """Whether this is a still of several equal things; different things never share colour and shape."""
        return len(self.things) > 1 and len({(t.colour, t.shape) for t in self.things}) == 1

    @property
    def claims(self) -> frozenset:
        """What a full caption states for certain (sizes of a clip and backgrounds are told only sometimes)."""
        if not self.things:
            return frozenset({('nothing', self.background)})
        if self.is_group:
            return frozenset({self._count(len(self.things))})
        told = {thing.key for thing in self.things} | ({self.joint} - {None})
        # A clip of one thing says so: "a disc blinks" is also true where a disc blinks beside a box.
        is_lone_clip = len(self.things) == 1 and self.things[0].cell < 0
        return frozenset(told | ({'alone'} if is_lone_clip else set()))

    @property
    def facts(self) -> frozenset:
        """Every claim that is true of this scene: a full caption fits it if its claims are among the facts."""
        told = {thing.key for thing in self.things} | self.claims
        if self.is_group:
            told |= {self._count(count) for count in range(2, len(self.things))}
        if self.joint:
            told |= {replace(thing, event='blink').key for thing in self.things}
        return frozenset(told)

    def _count(self, count: int) -> tuple:
        return count, self.things[0].size, self.things[0].colour, self.things[0].shape

    @property
    def combination(self) -> frozenset:
        """What is kept out of training for test clips: the pair of looks, or for one thing its look and event."""
        if len(self.things) == 1:
            return frozenset({self.things[0].key})
        return frozenset((thing.colour, thing.shape) for thing in self.things)


def place(event: str, size: str, rng: Random) -> tuple[Point, Point]:
    """Draw where a thing starts and ends (centres, pixels)."""
    low = RADII['large'] * 1.2 + 2 if event == 'resize' else RADII[size] * CLIP_SCALE + 2
    high = SIDE - low
    x, y = rng.uniform(low, high), rng.uniform(low, high)
    ends = [rng.uniform(low, low + 6), rng.uniform(high - 6, high)]
    rng.shuffle(ends)
    if event == 'horizontal':
        return (ends[0], y), (ends[1], y)
    if event == 'vertical':
        return (x, ends[0]), (x, ends[1])
    return (x, y), (x, y)


def things_touch(things: list[Thing], frames: int = FRAMES, corners: float = 1.2) -> bool:
    """Whether two things come closer than two pixels in any frame; corners reach beyond the radius by a factor."""
    for i, one in enumerate(things):
        for two in things[i + 1 :]:
            for frame in range(frames):
                reach = corners * (one.radius(frame) + two.radius(frame)) + 2
                if math.dist(one.centre(frame), two.centre(frame)) < reach:
                    return True
    return False


def could_be_confused(one: Scene, two: Scene) -> bool:
    """Whether a full caption of one of the scenes is true of the other as well."""
    return one.claims <= two.facts or two.claims <= one.facts


def draw_thing(look: Look, event: str, rng: Random, second_colour: str | None = None) -> Thing:
    """Draw size, path and phase of a thing of a given look and event."""
    size = rng.choice(SIZES)
    start, end = place(event, size, rng)
    return Thing(*look, size, start, end, event, second_colour, rng.randrange(8), scale=CLIP_SCALE)


def draw_events(count: int, colours: tuple[str, ...], rng: Random) -> tuple:
    """Draw what happens: ``(joint event or None, events of the things, second colours)``."""
    if count == 2 and rng.random() < 0.25:
        return rng.choice(JOINT_EVENTS), ('joint', 'joint'), (None, None)
    events = [rng.choice(EVENTS) for _ in range(count)]
    # Two blinking things would also be "taking turns" or "together", which are events of their own.
    while events.count('blink') == 2:
        events = [rng.choice(EVENTS) for _ in range(count)]
    seconds = [rng.choice([c for c in COLOURS if c not in colours]) if e == 'recolour' else None for e in events]
    return None, tuple(events), tuple(seconds)


def draw_clip(looks: list[Look], rng: Random) -> Scene:
    """Draw a clip of one or two things of given looks that never touch."""
    joint, events, seconds = draw_events(len(looks), tuple(colour for colour, _ in looks), rng)
    while True:
        things = [draw_thing(look, event, rng, second) for look, event, second in zip(looks, events, seconds)]
        if joint:
            # Same phase: on together; half a period apart: in turns.
            phase = things[0].phase + (4 if joint == 'turns' else 0)
            things[1] = Thing(**{**vars(things[1]), 'phase': phase})
        if not things_touch(things):
            return Scene(rng.choice(BACKGROUNDS), tuple(things), joint)


def draw_still(rng: Random) -> Scene:
    """Draw a still: one thing, two different things, or two to four equal ones, each in its own grid cell; one still in
    forty shows nothing.
    """
    if rng.random() < EMPTY_SHARE:
        return Scene(rng.choice(BACKGROUNDS), ())
    kind = rng.choice(('one', 'two', 'group'))
    count = {'one': 1, 'two': 2, 'group': rng.randint(2, 4)}[kind]
    looks = rng.sample([(c, s) for c in COLOURS for s in SHAPES], 2 if kind == 'two' else 1)
    sizes = [rng.choice(SIZES) for _ in looks]
    while True:
        cells = rng.sample(range(len(CELLS)), count)
        things = [_place_still(looks[i % len(looks)], sizes[i % len(looks)], cell, rng) for i, cell in enumerate(cells)]
        if not things_touch(things, frames=1, corners=1.1):
            return Scene(rng.choice(BACKGROUNDS), tuple(things))


def _place_still(look: Look, size: str, cell: int, rng: Random) -> Thing:
    """A thing whose centre lies clearly within its cell."""
    scale = rng.uniform(0.87, 1.13)
    margin, third = RADII[size] * scale + 1, SIDE / 3
    ends = [(max(margin, third * at + 2), min(SIDE - margin, third * (at + 1) - 2)) for at in (cell % 3, cell // 3)]
    centre = tuple(rng.uniform(*end) for end in ends)
    return Thing(*look, size, centre, centre, cell=cell, scale=scale)
