"""A decoder-only language model that reads ``[slot, prompt, pictures, text]``, each but the text as wanted.

Row 0 is the slot, which a method overwrites before each of the layers s ≤ i < e with a perceptual token. No other row
sees it below layer s, so the sequence is as long in every layer and a stock model runs it, with one mask below s and
another from s on. The rows of a soft prompt follow. Slot and prompt get no position, and layers that look back through
a window always see them; the text's positions count its own tokens. Rows of a picture are tokens of the text in all of
this but where they come from.

What the slot itself sees from layer s on: ``'causal'``, itself alone; ``'full'``, as released, all rows, those of the
future and of the padding included. With e = N - 1 the last of N layers then tells every token about its successors.

Notation: B texts of L tokens, P rows of prompt, K vectors of width Dv, R rows of pictures; W width of embeddings, D of
the stream.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.adapters.epalm import PERCEPTION
from vlpeft.adapters.lead_rows import BARE_ROWS, PROMPT_ROWS
from vlpeft.sites import (
    CACHE,
    AdapterSwitch,
    Attachment,
    Binding,
    SiteError,
    Tap,
    Tower,
    argument_name,
    in_eval_mode,
)

from .causal_lm import next_token_logits
from .lead import Lead

VISUAL_ROWS = ('causal', 'full')
#: Keyword arguments that hooks read: masks of layers from s on, of layers that look back through a window, and of both;
#: and in passes that take up the slot's row in layer e - 1 only, that row and the mask from there on.
SLOT_MASK, LOCAL_MASK, LOCAL_SLOT_MASK = 'slot_mask', 'local_mask', 'local_slot_mask'
LATE_ROW, LATE_MASK = 'late_row', 'late_mask'
LOCAL = {'attention_mask': LOCAL_MASK, SLOT_MASK: LOCAL_SLOT_MASK}
#: The position of padding. OPT has a row for it.
PAD_POSITION = dict(opt=-1)
#: Types whose passes the tests compare with restatements; those of others are compared with the stock model's.
TESTED = ('opt', 'gpt2', 'llama', 'qwen2', 'qwen3', 'gemma', 'gemma2', 'gemma3_text', 'mistral', 'phi3')


class _Edits(nn.Module):
    """What becomes different in a stock model's pass."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def mask(self, mask: Tensor, *masks: Tensor | None) -> Tensor:
        return next(given for given in reversed(masks) if given is not None)

    def prepend(self, hidden: Tensor, row: Tensor) -> Tensor:
        return torch.cat([row[:, None].to(hidden.dtype), hidden], 1)

    def positions(self, positions: Tensor, rows: int) -> Tensor:
        return F.pad(positions[:, rows:], (0, 0, rows, 0))

    def dropout(self, hidden: Tensor, rows: int) -> Tensor:
        return F.dropout(hidden, self.body.config.dropout, self.body.training)


def _bindings(tower: Tower, start: int | None, late: int | None, looks: Sequence[int | None]) -> Iterator[Binding]:
    entrance, first = tower.entrance, tower.blocks[0].input
    edits = _Edits(tower.module.get_submodule(entrance.embeddings.path))
    if entrance.positions is not None:
        rows = entrance.embeddings.beside(BARE_ROWS)
        yield Binding(tower.name, 0, (rows,), Tap(entrance.positions, 'output'), edits.positions)
    if tower.module.config.model_type == 'opt':
        # OPT was trained with dropout after its embeddings, which transformers leaves out.
        yield Binding(tower.name, 0, (first.beside(BARE_ROWS),), first, edits.dropout)
    for block, look in zip(tower.blocks, looks):
        sees_slot = start is not None and block.depth >= start
        is_late = late is not None and block.depth >= late
        masks = [] if look is None else [LOCAL_MASK]
        if sees_slot:
            masks.append(SLOT_MASK if look is None else LOCAL_SLOT_MASK)
        if is_late:
            masks.append(LATE_MASK)
        if masks:
            reads = tuple(block.mask.beside(mask) for mask in masks)
            yield Binding(tower.name, block.depth, reads, block.mask, edits.mask, changes_rows=is_late)
        if block.depth == late:
            row = block.input.beside(LATE_ROW)
            yield Binding(tower.name, late, (row,), block.input, edits.prepend, changes_rows=True)


class SlottedLM:
    """Runs a language model on texts behind a slot, a prompt and pictures.

    Args:
        tower: Of the language model.
        start, end: s and e. None where nothing fills the slot.
        visual_row: ``'causal'`` or ``'full'``.

    Raises:
        ValueError: Unknown ``visual_row``, or layers that look back in an unknown way.
        SiteError: A model of a type that is not :data:`TESTED` reads otherwise than it does alone.
    """

    def __init__(self, tower: Tower, start: int | None, end: int | None, visual_row: str) -> None:
        if visual_row not in VISUAL_ROWS:
            raise ValueError(f'visual_row={visual_row!r}; choose from {VISUAL_ROWS}')
        self.lm, self.scale = tower.module, tower.entrance.scale
        self.body = tower.module.get_submodule(tower.entrance.embeddings.path)
        self.full = visual_row == 'full'
        self.depth = len(tower.blocks)
        self.carried = 0 if end is None else self.depth - end
        # GPT-2 shapes its output like its input, and rotary positions are made for one number of rows.
        varies = self.lm.config.model_type == 'opt'
        self.late = end - 1 if self.full and self.carried == 1 and varies else None
        from .slot_cache import windows

        looks = windows(self.lm.config)
        self.window = next((look for look in looks if look is not None), None)
        learned = tower.entrance.positions is not None
        self.longest = self.lm.config.max_position_embeddings if learned else None
        bindings = list(_bindings(tower, start, self.late, looks))
        self.attachment = Attachment(bindings, {tower.name: tower}, AdapterSwitch()) if bindings else None
        if self.lm.config.model_type not in TESTED and self.lm.device.type != 'meta':
            self._check_reads_as_stock(None if start is None else torch.zeros(2, 1, 1, device=self.lm.device))

    def words(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, W) of token ids (B, L)."""
        return self.lm.get_input_embeddings()(ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits (…, V) of what :meth:`read` or :meth:`extend` returns."""
        return next_token_logits(self.lm, hidden)

    def read(self, words: Tensor, mask: Tensor, lead: Lead, cache=None) -> Tensor:
        """Runs B texts.

        Args:
            words: (B, L, W).
            mask: (B, L), 0 for padding on either side.
            lead: What stands before them.
            cache: Empty one of :meth:`new_cache`, to be filled. Defaults to None.

        Returns:
            Last hidden states (B, L, W) of the texts.

        Raises:
            ValueError: A text is longer than the model has learned positions.
        """
        if lead.pictures is not None:
            words = torch.cat([(lead.pictures / self.scale).to(words.dtype), words], 1)
        mask = lead.with_pictures(mask)
        self._check_length(mask)
        positions = F.pad(self._positions(mask), (lead.rows, 0))
        passed = {BARE_ROWS: lead.rows, **self._masks(mask, lead, words.dtype, slice(None))}
        if lead.prompt_rows:
            passed[PROMPT_ROWS] = slice(lead.slots, lead.rows)
        hidden = self._run(F.pad(words, (0, 0, lead.rows, 0)), positions, lead, cache, passed)
        return hidden[:, lead.rows + lead.picture_rows :]

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
        mask = lead.with_pictures(mask)
        self._check_length(mask)
        if lead.slots and self.late is not None:
            return self._extend_late(words, mask, lead, cache)
        again = int(self._slot_changes(lead))
        positions = F.pad(mask.sum(1, keepdim=True) - 1, (again, 0))
        rows = [0, -1] if again else [-1]
        passed = {BARE_ROWS: again, **self._masks(mask, lead, words.dtype, rows)}
        lead = lead if again else lead._replace(perception=None)
        return self._run(F.pad(words, (0, 0, again, 0)), positions, lead, cache, passed)[:, again:]

    def _check_length(self, mask: Tensor) -> None:
        if self.longest is not None and mask.shape[1] > self.longest:
            raise ValueError(
                f'a text of {mask.shape[1]} tokens, its picture and what is written included, is longer than the '
                f'{self.longest} positions of the language model; shorten it'
            )

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
        found = dict(attention_mask=seen)
        if lead.slots:
            above = seen.clone()
            above[:, 0] |= self.full
            seen[:, 1:, 0] = False
            found[SLOT_MASK] = above
        if self.window is not None:
            near = self._near(mask, lead.rows)
            found |= {LOCAL[name]: seen & near for name, seen in found.items()}
        return {name: _additive(seen, rows, dtype) for name, seen in found.items()}

    def _near(self, mask: Tensor, lead: int) -> Tensor:
        """Which rows are in whose window, (B, S, S): padding does not count, and those of the lead are in all."""
        at = F.pad(mask.cumsum(1), (lead, 0))
        is_lead = torch.arange(at.shape[1], device=at.device) < lead
        return (at[:, None] > at[:, :, None] - self.window) | is_lead | is_lead[:, None]

    @torch.no_grad()
    def _check_reads_as_stock(self, perception: Tensor | None) -> None:
        """Compares a pass with the stock model's, and checks that every layer is reached."""
        kind = type(self.lm).__name__
        ids = torch.tensor([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]], device=self.lm.device)
        mask = torch.tensor([[1] * 5, [0] * 2 + [1] * 3], device=self.lm.device)
        with in_eval_mode(self.lm):
            found = self.logits(self.read(self.words(ids), mask, Lead(None, 0)))
            expected = self.lm(input_ids=ids, attention_mask=mask, position_ids=self._positions(mask)).logits
            self.read(self.words(ids), mask, Lead(perception, 1))
        real = mask.bool()
        apart = float((found - expected)[real].abs().max() / expected[real].abs().max())
        if not apart < (1e-3 if found.dtype in (torch.float32, torch.float64) else 5e-2):
            raise SiteError(
                f'{kind} reads a text otherwise than is known here: its logits differ by {apart:.1%} of the largest; '
                f'tested are: {", ".join(TESTED)}'
            )
        if missed := [] if self.attachment is None else self.attachment.never_hit():
            raise SiteError(
                f'{kind} does not hand further keyword arguments on to its layers: {missed[0]} is never reached'
            )


def _additive(seen: Tensor, rows, dtype: torch.dtype) -> Tensor:
    """0 where a row sees another, of ``seen`` (B, S, S); padding that would see nothing sees itself."""
    seen = seen | (torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device) & ~seen.any(-1, keepdim=True))
    hidden = ~seen[:, None, rows]
    return torch.zeros(hidden.shape, dtype=dtype, device=seen.device).masked_fill(hidden, torch.finfo(dtype).min)
