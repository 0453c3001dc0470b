r"""Visual prompt tuning: P learned rows beside the patches, after the class token.

    shallow:  x_0 ← [cls, Z_0, patches]           the rows pass all blocks
    deep:     x_i ← [cls, Z_i, patches]           new rows before every block i, those of the last one are dropped

Z_i ∈ R^{P×D}, drawn from U(±√(3 / D)), the release's bound for patches of D numbers. Between blocks, and behind the
last one, the stream has the rows that it would have without: what reads it there sees the same tokens.

Jia et al., "Visual Prompt Tuning", ECCV 2022.
"""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, SiteError, Tap, Tower

from .base import Adapter
from .bottleneck_layer import check_rate, check_size
from .places import whole_towers


class VisualPrompt(nn.Module):
    """P rows of width D.

    Args:
        length: P.
        width: D.
        first: How many rows of the stream, those of class and register tokens, stand before them.
        dropout: Rate on them.
    """

    def __init__(self, length: int, width: int, first: int, dropout: float) -> None:
        super().__init__()
        bound = math.sqrt(3 / width)
        self.table = nn.Parameter(torch.empty(length, width).uniform_(-bound, bound))
        check_rate('dropout', dropout)
        self.dropout = nn.Dropout(dropout)
        self.length, self.first = length, first
        self.carried: Tensor | None = None

    def insert(self, x: Tensor) -> Tensor:
        """Puts the rows into a stream (B, N, D)."""
        return self._with(x, self.dropout(self.table.expand(len(x), -1, -1)).to(x.dtype))

    def take_out(self, x: Tensor) -> Tensor:
        """Drops them."""
        return torch.cat([x[:, : self.first], x[:, self.first + self.length :]], 1)

    def carry(self, x: Tensor) -> Tensor:
        """Takes them out, to be put back before the next block."""
        self.carried = x[:, self.first : self.first + self.length]
        return self.take_out(x)

    def put_back(self, x: Tensor) -> Tensor:
        """Puts back what :meth:`carry` took out.

        Raises:
            SiteError: It is put back already, as when a block runs again.
        """
        if self.carried is None:
            raise SiteError(
                "VPT(deep=False): a block runs again without the one before it, as under transformers' own gradient "
                'checkpointing; use vlpeft.sites.checkpoint_blocks, or gradient_checkpointing of a task model'
            )
        rows, self.carried = self.carried, None
        return self._with(x, rows)

    def _with(self, x: Tensor, rows: Tensor) -> Tensor:
        return torch.cat([x[:, : self.first], rows, x[:, self.first :]], 1)


class Unturned(nn.Module):
    """Keeps the first P rows of queries and keys out of a rotation by the places of patches, which they do not have.

    Args:
        length: P.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.rows: Tensor | None = None

    def set_aside(self, x: Tensor) -> Tensor:
        """Takes them from (B, heads, P + N, E)."""
        self.rows = x[..., : self.length, :]
        return x[..., self.length :, :]

    def put_back(self, x: Tensor) -> Tensor:
        """Puts them before what was turned."""
        rows, self.rows = self.rows, None
        return torch.cat([rows.to(x.dtype), x], -2)


def _lack(tower: Tower) -> str | None:
    if tower.patches is None:
        return 'is no vision transformer'
    return tower.patches.fixed and f'takes no further rows: {tower.patches.fixed}'


@ADAPTERS.register_module()
class VPT(Adapter):
    """Visual prompt tuning of vision transformers.

    Args:
        towers: The frozen backbones by name.
        length: P. Defaults to 10.
        deep: Whether every block has rows of its own. Defaults to True.
        dropout: Rate on the rows. Defaults to 0.
        targets: ``dict(towers=[…])``. Defaults to None: all vision transformers that further rows can pass.

    Raises:
        SiteError: A named tower, or every tower, is no vision transformer or takes no further rows.
        ValueError: ``length`` is no integer of at least 1.
    """

    rows_independent = False

    def __init__(
        self,
        towers: Mapping[str, Tower],
        length: int = 10,
        deep: bool = True,
        dropout: float = 0.0,
        targets: dict | None = None,
    ) -> None:
        super().__init__(towers)
        check_size('length', length)
        self.prompts = nn.ModuleDict()
        for tower in whole_towers(targets or {}, towers, 'VPT', _lack):
            count = len(tower.blocks) if deep else 1
            self.prompts[tower.name] = nn.ModuleList(
                VisualPrompt(length, tower.width, tower.patches.first, dropout) for _ in range(count)
            )
        self.unturned = Unturned(length)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for name, units in self.prompts.items():
            tower = towers[name]
            for depth in range(len(tower.blocks)):
                unit = units[depth % len(units)]
                enter = unit.insert if depth < len(units) else unit.put_back
                leave = unit.carry if len(units) == 1 and depth + 1 < len(tower.blocks) else unit.take_out
                yield Binding(name, depth, (), tower.block_tap(depth, 'input'), enter, changes_rows=True)
                yield Binding(name, depth, (), tower.block_tap(depth, 'output'), leave, changes_rows=True)
            if (rotary := tower.patches.rotary) is not None:
                yield Binding(name, None, (), Tap(rotary, 'input'), self.unturned.set_aside, changes_rows=True)
                yield Binding(name, None, (), Tap(rotary, 'output'), self.unturned.put_back, changes_rows=True)

    def role_of(self, name: str) -> str:
        return 'soft_prompt'
