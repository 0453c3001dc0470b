"""How likely each token is to come next, for texts that grow behind their prompts: a step function of beam search."""

import torch
from torch import Tensor

from vlpeft.models.backbones.lead import Lead
from vlpeft.models.backbones.slotted_lm import SlottedLM
from vlpeft.models.tokenizer import Tokens


class Continuation:
    """Next-token logits of texts that continue B prompts.

    With a cache each call runs the new token alone, beside the slot's row where that changes. The logits are those of a
    full pass either way.

    Args:
        lm: The language model.
        prompts: Ids and mask (B, L); the start tokens of the search are their last ones.
        lead: What stands before the prompts.
        beams: Sequences per prompt.
        cached: Whether to keep keys and values, where these stay valid. Defaults to True.
    """

    def __init__(self, lm: SlottedLM, prompts: Tokens, lead: Lead, beams: int, cached: bool = True) -> None:
        self.lm, self.prompts, self.lead, self.beams = lm, prompts, lead, beams
        self.cache = lm.new_cache(lead) if cached and lm.can_cache(lead) else None

    def __call__(self, ids: Tensor, origin: Tensor | None) -> Tensor:
        """Logits (B · beams, V) of sequences (B · beams, 1 + n), see :data:`vlpeft.models.decoding.Step`."""
        if origin is None:
            return self._start()
        mask = torch.cat([self.mask, self.mask.new_ones(len(ids), ids.shape[1] - 1)], 1)
        if self.cache is None:
            hidden = self.lm.read(self.lm.words(torch.cat([self.ids, ids[:, 1:]], 1)), mask, self.tiled)
        else:
            if self.beams > 1:
                self.cache.reorder_cache(origin)
            hidden = self.lm.extend(self.lm.words(ids[:, -1:]), mask, self.tiled, self.cache)
        return self.lm.logits(hidden[:, -1])

    def _start(self) -> Tensor:
        """Runs each prompt once; its beams do not differ yet."""
        hidden = self.lm.read(self.lm.words(self.prompts.ids), self.prompts.mask, self.lead, self.cache)
        self.ids, self.mask = (part.repeat_interleave(self.beams, 0) for part in self.prompts)
        self.tiled = self.lead.repeat(self.beams)
        if self.cache is not None and self.beams > 1:
            self.cache.batch_repeat_interleave(self.beams)
        return self.lm.logits(hidden[:, -1]).repeat_interleave(self.beams, 0)
