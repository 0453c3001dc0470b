"""Families: one function for each build of backbones, which says where its sites live."""

from . import (
    bart,
    blip_text,
    clip,
    gpt2,
    mmpretrain_beit,
    mmpretrain_eva02,
    mmpretrain_vit,
    opt,
    qformer,
    stacks,
    t5,
    timesformer,
)
from .connectors import CONNECTORS, connects
from .registry import FAMILIES, Family, describe, family

__all__ = [
    'CONNECTORS',
    'FAMILIES',
    'Family',
    'bart',
    'blip_text',
    'clip',
    'connects',
    'describe',
    'family',
    'gpt2',
    'mmpretrain_beit',
    'mmpretrain_eva02',
    'mmpretrain_vit',
    'opt',
    'qformer',
    'stacks',
    't5',
    'timesformer',
]
