"""The rows of prompt tuning in one call of a tower, and what a decoder is told of those of its encoder."""

import torch
from torch import Tensor, nn

from vlpeft.sites import Arguments, SiteError, Tower

from .lead_rows import BARE_ROWS, PROMPT_ROWS
from .longer_texts import (
    cache_of,
    check_continues,
    prepend_positions,
    real_before,
    shift_positions,
    widen,
    without_rows,
)
from .soft_prompt import SoftPrompt

NAME = 'PromptTuning'


class TextPrompt(SoftPrompt):
    """The rows of one tower.

    Args:
        tower: The tower.
        length: P.
        hidden: As for :class:`SoftPrompt`.
        stays: Whether the rows stay in the tower's output.
    """

    def __init__(self, tower: Tower, length: int, hidden: int | None, stays: bool) -> None:
        super().__init__(length, tower.entrance.width, hidden, scale=tower.entrance.scale)
        self.length, self.words, self.stays = length, tower.entrance.words, stays
        self.has_wide_masks, self.causal = tower.entrance.has_wide_masks, tower.causal
        # Of the present call: how many rows joined, and by how many positions are shifted.
        self.joined = self.shifted = 0

    @torch.no_grad()
    def copy_words(self, tower: Tower) -> None:
        """Starts from P words that are drawn from the tower's vocabulary."""
        words = tower.module.get_submodule(tower.entrance.embeddings.path).get_submodule(self.words)
        ids = torch.randint(words.num_embeddings, (self.length,), device=words.weight.device)
        self.table.copy_(words(ids) * self.scale)

    def enter(self, module: nn.Module, arguments: Arguments) -> Arguments:
        """Puts the rows into the first call of a text; with cached keys and values they are there already."""
        self.joined = self.shifted = 0
        if BARE_ROWS in arguments:
            rows = arguments.get(PROMPT_ROWS)
            words = arguments['inputs_embeds']
            return arguments if rows is None else {**arguments, 'inputs_embeds': self.fill(words, rows)}
        if arguments.get('token_type_ids') is not None:
            raise SiteError(f'{NAME}: rows of a prompt have no token_type_ids; leave them out')
        arguments, past = dict(arguments), cache_of(arguments, NAME)
        if self.has_wide_masks:
            widen(arguments, self.length, self.causal)
        else:
            arguments['attention_mask'] = real_before(arguments.get('attention_mask'), self.length, NAME)
        shift_positions(arguments, self.length)
        self.shifted = self.length
        # Keys and values of a prefix are no text.
        ahead = getattr(past, 'ahead', 0)
        if past is None or past.get_seq_length() == ahead:
            self.joined = self.length
            prepend_positions(arguments, ahead, self.length)
            ids, words = arguments.pop('input_ids', None), arguments.get('inputs_embeds')
            words = module.get_submodule(self.words)(ids) if words is None else words
            arguments['inputs_embeds'] = torch.cat([self().to(words.dtype).expand(len(words), -1, -1), words], 1)
        else:
            ids = arguments.get('input_ids')
            new = arguments['inputs_embeds'] if ids is None else ids
            check_continues(arguments, past, new.shape[1], self.length, NAME)
        return arguments

    def leave(self, module: nn.Module, output):
        """Takes them out of the output."""
        joined, self.joined, self.shifted = self.joined, 0, 0
        return output if self.stays or not joined else without_rows(output, joined)

    def text_positions(self, ids: Tensor) -> Tensor:
        """Position numbers (…, L), counted without the prompt; padding may be at -1."""
        if not self.shifted:
            return ids
        own = (ids - self.shifted).clamp(min=-1)
        return torch.cat([torch.zeros_like(own[..., : self.joined]), own[..., self.joined :]], -1)

    def bare(self, positions: Tensor) -> Tensor:
        """Position embeddings (…, L, D), zero for the prompt."""
        return torch.cat([torch.zeros_like(positions[..., : self.joined, :]), positions[..., self.joined :, :]], -2)

    def bare_and_later(self, positions: Tensor) -> Tensor:
        """Those that are counted from the first row: zero for the prompt, from the start for the text."""
        count = positions.shape[-2] - self.joined
        return torch.cat([torch.zeros_like(positions[..., count:, :]), positions[..., :count, :]], -2)


class LongerContext(nn.Module):
    """What a decoder is told of an encoder's output that starts with a prompt of which its caller's mask knows nothing.

    Args:
        length: P.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def enter(self, module: nn.Module, arguments: Arguments) -> Arguments:
        """Makes the mask of the encoder's output as long as that."""
        states, mask = arguments.get('encoder_hidden_states'), arguments.get('encoder_attention_mask')
        if states is None or mask is None or states.shape[1] - mask.shape[-1] < self.length:
            return arguments
        return {**arguments, 'encoder_attention_mask': real_before(mask, self.length, NAME)}

    def leave(self, module: nn.Module, output):
        """The output as it is."""
        return output
