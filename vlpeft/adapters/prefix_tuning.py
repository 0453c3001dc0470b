r"""Prefix tuning: P learned keys and values before those of the text, in the self-attention of every block.

    K ← [K_prefix, K],  V ← [V_prefix, V]         K_prefix, V_prefix ∈ R^{P×W} for each block

They are there before the first token, as a cache of keys and values is; the text's positions start at P, and rotary
positions do not turn them. Plain, one table R^{P×2NW} holds them for N blocks; with an MLP, W_2 tanh(W_1 E + c_1) + c_2
of E ∈ R^{P×W} makes them, see ``soft_prompt.py``.

Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import CACHE, Arguments, CallBinding, SiteError, Tower, argument_name

from .base import Adapter
from .bottleneck_layer import check_size
from .lead_rows import BARE_ROWS
from .longer_texts import cache_of, seen_before, shift_positions, with_values
from .places import whole_towers
from .soft_prompt import SoftPrompt

NAME = 'PrefixTuning'


class Prefix(SoftPrompt):
    """Keys and values of one tower.

    Args:
        tower: The tower.
        length: P.
        hidden: Of the MLP that makes them. None for a plain table.
    """

    def __init__(self, tower: Tower, length: int, hidden: int | None) -> None:
        width = tower.blocks[0].sublayers['self_attn'].linears['k'].out_features
        count = 2 * len(tower.blocks) * width
        super().__init__(length, count if hidden is None else width, hidden, count)
        self.length, self.count = length, 2 * len(tower.blocks)
        self.heads, self.kind = tower.entrance.heads, tower.entrance.cache_class
        self.given = None

    def pairs(self) -> list:
        """Keys and values (H, P, E) of each block."""
        rows = self().unflatten(-1, (self.count, self.heads, -1)).permute(1, 2, 0, 3)
        return list(zip(rows[0::2], rows[1::2]))

    def enter(self, module: nn.Module, arguments: Arguments) -> Arguments:
        """Puts the prefix before the caller's cache, and before what the text sees."""
        from .prefix_cache import CACHES

        if module.training and getattr(module, 'gradient_checkpointing', False):
            raise SiteError(
                f"{NAME}: transformers' own gradient checkpointing takes away the cache in which the prefix is; use "
                'vlpeft.sites.checkpoint_blocks, or gradient_checkpointing of a task model'
            )
        with_prefix, new = CACHES[self.kind]
        past = cache_of(arguments, NAME)
        arguments = {name: value for name, value in arguments.items() if name not in CACHE}
        if past is None and new is not None:
            wanted = arguments.get('use_cache')
            past = new(module.config) if (module.config.use_cache if wanted is None else wanted) else None
        for name in arguments:
            # A caller that makes room for rows of its own passes further masks beside.
            if name == 'attention_mask' or (BARE_ROWS in arguments and name.endswith('_mask')):
                arguments[name] = seen_before(arguments[name], self.length, NAME)
        shift_positions(arguments, self.length)
        self.given = arguments[argument_name(module, CACHE)] = with_prefix(self.pairs(), past)
        return arguments

    def leave(self, module: nn.Module, output):
        """Hands the caller's own cache back."""
        given, self.given = self.given, None
        return with_values(output, lambda value: given.inner if value is given else value)


def _lack(tower: Tower) -> str | None:
    if tower.entrance is None or tower.entrance.cache_class is None:
        return 'keeps no cache of keys and values, before which a prefix could stand'
    if tower.is_windowed:
        return 'lets tokens see the last ones alone in some blocks (sliding_window), which would lose sight of a prefix'
    return None


@ADAPTERS.register_module()
class PrefixTuning(Adapter):
    """Prefix tuning of language models and decoders.

    Args:
        towers: The frozen backbones by name.
        length: P. Defaults to 20.
        hidden: Width of the MLP that makes the prefix. Defaults to None, no MLP.
        targets: ``dict(towers=[…])``. Defaults to None: all towers that keep a cache of keys and values.

    Raises:
        SiteError: A named tower, or every tower, keeps no such cache.
        ValueError: ``length`` or ``hidden`` is no integer of at least 1.
    """

    rows_independent = False

    def __init__(
        self, towers: Mapping[str, Tower], length: int = 20, hidden: int | None = None, targets: dict | None = None
    ) -> None:
        super().__init__(towers)
        check_size('length', length)
        if hidden is not None:
            check_size('hidden', hidden)
        chosen = whole_towers(targets or {}, towers, NAME, _lack)
        self.prefixes = nn.ModuleDict({tower.name: Prefix(tower, length, hidden) for tower in chosen})

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[CallBinding]:
        for name, unit in self.prefixes.items():
            yield CallBinding(name, towers[name].entrance.embeddings.path, unit.enter, unit.leave)

    def role_of(self, name: str) -> str:
        return 'prefix'
