"""Floating-point operations of a pass, by tower and part. On the device ``meta`` shapes are all that is computed.

An operation counts where it happens: in the innermost module that has a label. Products of matrices, attention and
convolutions count, a multiplication and an addition each; what works element by element (norms, activations, softmax,
residual sums), looking up embeddings, the optimiser's update and loading data do not.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os.path import commonprefix
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vlpeft.models.backbones import BlipTextDecoder
from vlpeft.sites import Tower

OTHER = 'other'
#: Where an operation happens that no labelled module encloses.
OUTSIDE = ('model', OTHER)
Label = tuple[str, str]


class FlopCounter(TorchDispatchMode):
    """Counts what runs inside its ``with`` block, by the label that is current.

    Attributes:
        flops: By label, (tower, part).
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops: Counter[Label] = Counter()
        self.labels: list[Label] = [OUTSIDE]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func._overloadpacket not in flop_registry and func is not torch.ops.prim.device.default:
            # A composite operation counts as those that it is made of.
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops[self.labels[-1]] += count(*args, **kwargs, out_val=out)
        return out

    @contextmanager
    def labelled(self, labels: Mapping[nn.Module, Label]) -> Iterator['FlopCounter']:
        """Inside the ``with`` block operations count for the module that they happen in."""

        def enter(module: nn.Module, *_: Any) -> None:
            self.labels.append(labels[module])

        def leave(*_: Any) -> None:
            self.labels.pop()

        # What methods do before a module runs, and after it, belongs to it.
        handles = [module.register_forward_pre_hook(enter, prepend=True) for module in labels]
        handles += [module.register_forward_hook(leave, always_call=True) for module in labels]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()


def part_labels(model: nn.Module) -> dict[nn.Module, Label]:
    """What the modules of an :class:`~vlpeft.models.tasks.base.AdaptedModel` belong to.

    Returns:
        (tower, part) by module: ``self_attn``, ``cross_attn`` and ``ffn`` of the towers' blocks, ``patch_embed`` and
        ``connector`` outside of them, and the rest of a tower; trained heads by their names; output embeddings.
    """
    labels: dict[nn.Module, Label] = {}
    for name, tower in model.towers.items():
        labels[tower.module] = (name, OTHER)
        for part in tower.outside.values():
            paths = [*part.modules, *(site.path for site in part.linears.values()), part.h.path]
            labels.update({tower.at(path): (name, part.kind) for path in paths if path})
        for block in tower.blocks:
            for kind, sublayer in block.sublayers.items():
                for module in _modules_of(tower, [site.path for site in sublayer.linears.values()], block.depth):
                    labels[module] = (name, kind)
    for name, head in model.heads.items():
        for module in head.modules():
            labels.setdefault(module, (name, 'head'))
    for module in model.modules():
        if isinstance(module, BlipTextDecoder):
            vocabulary = module.cls['predictions']
        else:
            vocabulary = getattr(module, 'get_output_embeddings', lambda: None)()
        if isinstance(vocabulary, nn.Module):
            labels.setdefault(vocabulary, ('model', 'output embeddings'))
    return labels


def _modules_of(tower: Tower, paths: list[str], depth: int) -> list[nn.Module]:
    """The module that holds all of a sub-layer's maps and nothing else of its block, or these maps."""
    maps = [tower.at(path) for path in paths]
    parts = commonprefix([path.split('.') for path in paths])
    above = '.'.join(parts if len(set(paths)) > 1 else parts[:-1])
    block = f'{tower.block_path}.{depth}'
    return [tower.at(above), *maps] if above.startswith(f'{block}.') else maps
