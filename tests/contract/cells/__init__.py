"""The matrix of the contract: methods by group, and the backbones where they cannot stand."""

from . import bottlenecks, bridge, composed, cross_modal, low_rank, outside, prompts, scales, side

_GROUPS = (low_rank, bottlenecks, prompts, cross_modal, side, bridge, composed, outside, scales)

METHODS = {name: config for group in _GROUPS for name, config in group.METHODS.items()}
REFUSED = {cell: message for group in _GROUPS for cell, message in group.REFUSED.items()}
