"""What passes beside a text that gets longer by P rows at its start: masks, positions, caches and outputs.

Names of arguments are those of transformers, see :class:`vlpeft.sites.Entrance`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vlpeft.sites import CACHE, Arguments, SiteError


def real_before(mask: Tensor | None, rows: int, wanted_by: str) -> Tensor | None:
    """A mask (B, L) to one of (B, rows + L), the new ones real.

    Raises:
        SiteError: It has another shape, so that its caller has said already which row sees which.
    """
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        found = f'one of shape {tuple(mask.shape)}' if isinstance(mask, Tensor) else type(mask).__name__
        raise SiteError(f'{wanted_by} puts rows before the texts and takes an attention mask (B, L), not {found}')
    return torch.cat([mask.new_ones(len(mask), rows), mask], 1)


def seen_before(mask: Tensor | None, rows: int, wanted_by: str) -> Tensor | None:
    """A mask of keys for ``rows`` more at the start, which all rows see: (B, L), or additive or boolean (…, L, S)."""
    if isinstance(mask, Tensor) and mask.ndim == 4:
        return F.pad(mask, (rows, 0), value=float(mask.dtype == torch.bool))
    return real_before(mask, rows, wanted_by)


def widen(arguments: Arguments, rows: int, causal: bool) -> None:
    """Lets ``rows`` new ones at the start be seen by all; they see what the text's do, or none but their predecessors.

    The masks are those of :attr:`vlpeft.sites.Entrance.has_wide_masks`; ``causal`` is that of the tower.
    """
    names = ('attention_mask', 'causal_attention_mask')
    hides = next((name for name in reversed(names) if arguments.get(name) is not None), None) if causal else None
    for name in names:
        if (mask := arguments.get(name)) is None:
            continue
        if mask.ndim == 2:
            # What flash attention takes.
            arguments[name] = torch.cat([mask.new_ones(len(mask), rows), mask], 1)
        else:
            is_boolean = mask.dtype is torch.bool
            mask = F.pad(mask, (rows, 0), value=float(is_boolean))
            new = mask[..., :1, :].expand(*mask.shape[:-2], rows, -1)
            if name == hides:
                new = (
                    torch.ones_like(new).tril()
                    if is_boolean
                    else torch.full_like(new, torch.finfo(mask.dtype).min).triu(1)
                )
            arguments[name] = torch.cat([new, mask], -2)


def shift_positions(arguments: Arguments, rows: int) -> None:
    """Makes the positions of the texts, where the caller gives them, start ``rows`` later."""
    for name in ('position_ids', 'cache_position'):
        if arguments.get(name) is not None:
            arguments[name] = arguments[name] + rows


def prepend_positions(arguments: Arguments, start: int, rows: int) -> None:
    """Gives new rows the positions from ``start`` on, where the caller gives positions."""
    for name in ('position_ids', 'cache_position'):
        if (ids := arguments.get(name)) is not None:
            new = torch.arange(start, start + rows, dtype=ids.dtype, device=ids.device)
            arguments[name] = torch.cat([new.expand(*ids.shape[:-1], -1), ids], -1)


def cache_of(arguments: Arguments, wanted_by: str) -> Any:
    """The cache of keys and values among the arguments of a call; None if there is none.

    Raises:
        SiteError: It is a tuple, the form of older releases of transformers.
    """
    past = next((arguments[name] for name in CACHE if arguments.get(name) is not None), None)
    if past is not None and not hasattr(past, 'get_seq_length'):
        raise SiteError(f'{wanted_by} takes past_key_values that are a cache object, not a {type(past).__name__}')
    return past


def check_continues(arguments: Arguments, past: Any, rows: int, prompt: int, wanted_by: str) -> None:
    """Refuses ``rows`` new ones that do not come right behind those in a cache.

    Args:
        arguments: Of the call, the prompt counted in them.
        past: The cache.
        rows: How many are new.
        prompt: How many are the prompt's.
        wanted_by: For the message.

    Raises:
        SiteError: The mask (B, S) is of more or fewer rows than the cache and the new ones; or there is none, as
            ``generate`` of transformers 5 calls where nothing is padded, and the prompt was taken for words.
    """
    there, whole = past.get_seq_length(), None
    mask, positions = arguments.get('attention_mask'), arguments.get('position_ids')
    if mask is not None:
        whole = mask.shape[1]
    elif isinstance(positions, Tensor) and positions.ndim == 2 and not torch.compiler.is_compiling():
        whole = int(positions[0, 0]) + rows
        whole = whole if whole == there + prompt + rows else None
    if whole is not None and isinstance(there, int) and whole != there + rows:
        raise SiteError(
            f'{wanted_by}: the text is of {whole} rows, the cache has {there} and {rows} are new, those of the '
            'prompt counted; `generate` that goes on from the cache of an earlier call, or cuts it, does not know that '
            'the prompt is in there: give it the whole text without that cache'
        )


def without_rows(output: Any, rows: int) -> Any:
    """An output without its first ``rows``: of the hidden states (B, L, D) in it, those recorded included."""

    def cut(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(cut(part) for part in value)
        return value[:, rows:] if isinstance(value, Tensor) and value.ndim == 3 else value

    return with_values(output, cut)


def with_values(output: Any, change) -> Any:
    """An output, of transformers or a plain one, whose values are ``change(value)``; None takes one away."""
    if isinstance(output, Mapping):
        return type(output)(**{name: change(value) for name, value in output.items()})
    if isinstance(output, tuple):
        return tuple(new for new in map(change, output) if new is not None)
    return change(output)
