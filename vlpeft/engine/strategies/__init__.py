"""Strategies of MMEngine's FlexibleRunner: how a model is laid out over processes."""

from .fully_sharded import FullyShardedStrategy

__all__ = ['FullyShardedStrategy']
