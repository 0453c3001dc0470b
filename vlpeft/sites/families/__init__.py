"""Families: one function for each build of backbones, which says where its sites live."""

from . import (
    bart,
    blip_text,
    clip,
    gpt2,
    llama,
    mmpretrain_beit,
    mmpretrain_eva02,
    mmpretrain_vit,
    opt,
    t5,
    timesformer,
)
from .registry import FAMILIES, Family, describe, family

__all__ = [
    'FAMILIES',
    'Family',
    'bart',
    'blip_text',
    'clip',
    'describe',
    'family',
    'gpt2',
    'llama',
    'mmpretrain_beit',
    'mmpretrain_eva02',
    'mmpretrain_vit',
    'opt',
    't5',
    'timesformer',
]
