"""A decoder-only language model that reads ``[slot, prompt, text]``.

Row 0 is the slot, which a method overwrites before each of the layers s ≤ i < e with a perceptual token. No other row
sees it below layer s, so the sequence is as long in every layer and a stock model runs it, with one mask below s and
another from s on. The rows of a soft prompt follow. Slot and prompt get no position; the text's count its own tokens.

What the slot itself sees from layer s on: ``'causal'``, itself alone; ``'full'``, as released, all rows, those of the
future and of the padding included. With e = N - 1 the last of N layers then tells every token about its successors.

Notation: B texts of L tokens, P rows of prompt, K vectors of width Dv; W width of embeddings, D of the stream.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.sites import (
    BARE_ROWS,
    CACHE,
    PERCEPTION,
    PROMPT_ROWS,
    AdapterSwitch,
    Attachment,
    Binding,
    Tap,
    Tower,
    argument_name,
)

VISUAL_ROWS = ('causal', 'full')
#: Keyword arguments that hooks read: the mask from layer s on; and in passes that take up the slot's row in layer e - 1
#: only, that row and the mask from there on.
SLOT_MASK, LATE_ROW, LATE_MASK = 'slot_mask', 'late_row', 'late_mask'
#: The position of padding. OPT has a row for it.
PAD_POSITION = dict(opt=-1)


class Lead(NamedTuple):
    """What stands before the texts: ``perception`` (B, K, Dv) for the slot, None for no slot; P rows of prompt; and
    ``late`` (B, D), the perceptual token of layer e - 1.
    """

    perception: Tensor | None
    prompt_rows: int
    late: Tensor | None = None

    @property
    def slots(self) -> int:
        """Rows that perception takes: 1 if there is one, else 0."""
        return int(self.perception is not None)

    @property
    def rows(self) -> int:
        """All rows before the text."""
        return self.slots + self.prompt_rows

    def repeat(self, times: int) -> 'Lead':
        """For ``times`` copies of each text, side by side."""
        if self.perception is None:
            return self
        return self._replace(
            perception=self.perception.repeat_interleave(times, 0), late=self.late.repeat_interleave(times, 0)
        )


class _Edits(nn.Module):
    """What becomes different in a stock model's pass."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def mask(self, mask: Tensor, slot_mask: Tensor, late_mask: Tensor | None = None) -> Tensor:
        return slot_mask if late_mask is None else late_mask

    def prepend(self, hidden: Tensor, row: Tensor) -> Tensor:
        return torch.cat([row[:, None].to(hidden.dtype), hidden], 1)

    def positions(self, positions: Tensor, rows: int) -> Tensor:
        return F.pad(positions[:, rows:], (0, 0, rows, 0))

    def dropout(self, hidden: Tensor, rows: int) -> Tensor:
        return F.dropout(hidden, self.body.config.dropout, self.body.training)


def _bindings(tower: Tower, start: int | None, late: int | None) -> Iterator[Binding]:
    entrance, first = tower.entrance, tower.blocks[0].input
    edits = _Edits(tower.module.get_submodule(entrance.embeddings.path))
    if entrance.positions is not None:
        rows = entrance.embeddings.beside(BARE_ROWS)
        yield Binding(tower.name, 0, (rows,), Tap(entrance.positions, 'output'), edits.positions)
    if tower.module.config.model_type == 'opt':
        # OPT was trained with dropout after its embeddings, which transformers leaves out.
        yield Binding(tower.name, 0, (first.beside(BARE_ROWS),), first, edits.dropout)
    for block in () if start is None else tower.blocks[start:]:
        is_late = late is not None and block.depth >= late
        masks = (SLOT_MASK, LATE_MASK) if is_late else (SLOT_MASK,)
        reads = tuple(block.mask.beside(mask) for mask in masks)
        yield Binding(tower.name, block.depth, reads, block.mask, edits.mask, changes_rows=is_late)
        if block.depth == late:
            row = block.input.beside(LATE_ROW)
            yield Binding(tower.name, late, (row,), block.input, edits.prepend, changes_rows=True)


class SlottedLM:
    """Runs a language model on texts behind a slot and a prompt.

    Args:
        tower: Of the language model.
        start, end: s and e. None where nothing fills the slot.
        visual_row: ``'causal'`` or ``'full'``.

    Raises:
        ValueError: Unknown ``visual_row``.
    """

    def __init__(self, tower: Tower, start: int | None, end: int | None, visual_row: str) -> None:
        if visual_row not in VISUAL_ROWS:
            raise ValueError(f'visual_row={visual_row!r}; choose from {VISUAL_ROWS}')
        self.lm = tower.module
        self.body = tower.module.get_submodule(tower.entrance.embeddings.path)
        self.full = visual_row == 'full'
        self.depth = len(tower.blocks)
        self.carried = 0 if end is None else self.depth - end
        # GPT-2 shapes its output like its input, and rotary positions are made for one number of rows.
        varies = self.lm.config.model_type == 'opt'
        self.late = end - 1 if self.full and self.carried == 1 and varies else None
        bindings = list(_bindings(tower, start, self.late))
        self.attachment = Attachment(bindings, {tower.name: tower}, AdapterSwitch()) if bindings else None

    def words(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, W) of token ids (B, L)."""
        return self.lm.get_input_embeddings()(ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits (…, V) of what :meth:`read` or :meth:`extend` returns."""
        return self.lm.get_output_embeddings()(hidden)

    def read(self, words: Tensor, mask: Tensor, lead: Lead, cache=None) -> Tensor:
        """Runs B texts.

        Args:
            words: (B, L, W).
            mask: (B, L), 0 for padding on either side.
            lead: What stands before them.
            cache: Empty one of :meth:`new_cache`, to be filled. Defaults to None.

        Returns:
            Last hidden states (B, L, W) of the texts.
        """
        positions = F.pad(self._positions(mask), (lead.rows, 0))
        passed = {BARE_ROWS: lead.rows, **self._masks(mask, lead, words.dtype, slice(None))}
        if lead.prompt_rows:
            passed[PROMPT_ROWS] = slice(lead.slots, lead.rows)
        return self._run(F.pad(words, (0, 0, lead.rows, 0)), positions, lead, cache, passed)[:, lead.rows :]

    def extend(self, words: Tensor, mask: Tensor, lead: Lead, cache) -> Tensor:
        """Runs the last token of each text, all others being in the cache.

        Args:
            words: (B, 1, W).
            mask: (B, L) of the whole texts, the last token included.
            lead: As for :meth:`read`.
            cache: The filled one.

        Returns:
            Last hidden states (B, 1, W).
        """
        if lead.slots and self.late is not None:
            return self._extend_late(words, mask, lead, cache)
        again = int(self._slot_changes(lead))
        positions = F.pad(mask.sum(1, keepdim=True) - 1, (again, 0))
        rows = [0, -1] if again else [-1]
        passed = {BARE_ROWS: again, **self._masks(mask, lead, words.dtype, rows)}
        lead = lead if again else lead._replace(perception=None)
        return self._run(F.pad(words, (0, 0, again, 0)), positions, lead, cache, passed)[:, again:]

    def _extend_late(self, words: Tensor, mask: Tensor, lead: Lead, cache) -> Tensor:
        """As :meth:`extend`: up to layer e - 1 the slot's keys and values stay, so its row joins there."""
        passed = {BARE_ROWS: 0, LATE_ROW: lead.late, **self._masks(mask, lead, words.dtype, [-1])}
        passed[LATE_MASK] = self._masks(mask, lead, words.dtype, [0, -1])[SLOT_MASK]
        positions = mask.sum(1, keepdim=True) - 1
        return self._run(words, positions, lead._replace(perception=None), cache, passed)[:, 1:]

    def can_cache(self, lead: Lead) -> bool:
        """Whether keys and values of the rows stay as they are when texts grow, the slot's in the last layer excepted.

        A slot that sees the texts and is carried on through more layers than the last changes all rows there.
        """
        return not (lead.slots and self.full) or self.carried <= 1

    def new_cache(self, lead: Lead):
        """An empty cache of keys and values for :meth:`read` and :meth:`extend`.

        Raises:
            ValueError: They change with every token, see :meth:`can_cache`.
        """
        if not self.can_cache(lead):
            raise ValueError("visual_row='full' can be cached for end >= layers - 1 only")
        from .slot_cache import slot_cache

        if not self._slot_changes(lead):
            return slot_cache(self.depth, self.depth)
        return slot_cache(self.depth, self.late or 0)

    def _slot_changes(self, lead: Lead) -> bool:
        """Whether the slot's keys and values in the last layer depend on the texts."""
        return bool(lead.slots) and self.full and self.carried == 1

    def _run(self, embeddings: Tensor, positions: Tensor, lead: Lead, cache, passed: dict) -> Tensor:
        if lead.slots:
            passed[PERCEPTION] = lead.perception
        passed[argument_name(self.body, CACHE)] = cache
        return self.body(inputs_embeds=embeddings, position_ids=positions, use_cache=cache is not None, **passed)[0]

    def _positions(self, mask: Tensor) -> Tensor:
        pad = PAD_POSITION.get(self.lm.config.model_type, 0)
        return (mask.cumsum(1) - 1).masked_fill(mask == 0, pad)

    def _masks(self, mask: Tensor, lead: Lead, dtype: torch.dtype, rows) -> dict:
        """Additive masks (B, 1, rows, lead + L) as the keyword arguments of a pass."""
        real = F.pad(mask.bool(), (lead.rows, 0), value=True)
        length = real.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril() & real[:, None]
        if not lead.slots:
            return dict(attention_mask=_additive(seen, rows, dtype))
        above = seen.clone()
        above[:, 0] |= self.full
        seen[:, 1:, 0] = False
        return {'attention_mask': _additive(seen, rows, dtype), SLOT_MASK: _additive(above, rows, dtype)}


def _additive(seen: Tensor, rows, dtype: torch.dtype) -> Tensor:
    """0 where a row sees another, of ``seen`` (B, S, S); padding that would see nothing sees itself."""
    seen = seen | (torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device) & ~seen.any(-1, keepdim=True))
    hidden = ~seen[:, None, rows]
    return torch.zeros(hidden.shape, dtype=dtype, device=seen.device).masked_fill(hidden, torch.finfo(dtype).min)
