"""Drawn stills and clips with captions that are true of them: the data of the quickstart, made anywhere in seconds."""

from .captions import describe_clip, describe_still
from .render import render, write_clip, write_still
from .scenes import Scene, Thing, could_be_confused, draw_clip, draw_still
from .sets import draw_clip_sets, draw_still_sets, run_jobs, write_set

__all__ = [
    'Scene',
    'Thing',
    'could_be_confused',
    'describe_clip',
    'describe_still',
    'draw_clip',
    'draw_clip_sets',
    'draw_still',
    'draw_still_sets',
    'render',
    'run_jobs',
    'write_clip',
    'write_set',
    'write_still',
]
