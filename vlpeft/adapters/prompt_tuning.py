r"""Prompt tuning: P learned rows before the embeddings of every text.

    x ← [prompt, x]                               prompt ∈ R^{P×W}, plain or made by an MLP, see ``soft_prompt.py``

The rows join before the first block and are real in every mask. What leaves the tower has the length of the text again,
so that logits fit labels; an encoder's rows stay, because its decoder attends to them.

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021; the form with an MLP in encoders,
without positions: Sung et al., "VL-Adapter", CVPR 2022, and Hu et al., "VL-PET", ICCV 2023, as a baseline.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import BARE_ROWS, PROMPT_ROWS, Arguments, Binding, CallBinding, SiteError, Tap, Tower

from .base import Adapter
from .bottleneck_layer import check_size
from .longer_texts import check_cache, prepend_positions, real_before, shift_positions, without_rows
from .places import whole_towers
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
        super().__init__(length, tower.entrance.width, hidden)
        self.length, self.words, self.stays = length, tower.entrance.words, stays
        # Of the present call: how many rows joined, and by how many positions are shifted.
        self.joined = self.shifted = 0

    def enter(self, module: nn.Module, arguments: Arguments) -> Arguments:
        """Puts the rows into the first call of a text; with cached keys and values they are there already."""
        self.joined = self.shifted = 0
        if BARE_ROWS in arguments:
            rows = arguments.get(PROMPT_ROWS)
            words = arguments['inputs_embeds']
            return arguments if rows is None else {**arguments, 'inputs_embeds': self.fill(words, rows)}
        if arguments.get('token_type_ids') is not None:
            raise SiteError(f'{NAME}: rows of a prompt have no token_type_ids; leave them out')
        arguments, past = dict(arguments), arguments.get('past_key_values')
        check_cache(past, NAME)
        mask = real_before(arguments.get('attention_mask'), self.length, NAME)
        arguments['attention_mask'] = mask
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


def _reads(tower: Tower) -> bool:
    return tower.entrance is not None and tower.causal and 'cross_attn' in tower.blocks[0].sublayers


def _lack(tower: Tower) -> str | None:
    return None if tower.entrance is not None else 'takes no embeddings of a text that rows could join'


@ADAPTERS.register_module()
class PromptTuning(Adapter):
    """Prompt tuning; VL-PET's baseline on BART and T5 is ``length=40, hidden=800``.

    Args:
        towers: The frozen backbones by name.
        length: P. Defaults to 20.
        hidden: Width of the MLP that makes the rows. Defaults to None, no MLP.
        positions: Whether the rows take the first P of the learned positions, and the text the next, as in HF PEFT.
            Defaults to False: they have none, and the text keeps its own. Relative and rotary positions count them
            either way.
        targets: ``dict(towers=[…])``. Defaults to None: encoders and decoder-only language models; a decoder that reads
            an encoder has a prompt only if it is named, or alone.

    Raises:
        SiteError: A named tower, or every tower, takes no embeddings of a text.
        ValueError: ``length`` or ``hidden`` is no integer of at least 1.
    """

    rows_independent = False

    def __init__(
        self,
        towers: Mapping[str, Tower],
        length: int = 20,
        hidden: int | None = None,
        positions: bool = False,
        targets: dict | None = None,
    ) -> None:
        super().__init__(towers)
        check_size('length', length)
        if hidden is not None:
            check_size('hidden', hidden)
        targets = targets or {}
        chosen = whole_towers(targets, towers, NAME, _lack)
        if targets.get('towers') is None:
            chosen = [tower for tower in chosen if not _reads(tower)] or chosen
        self.length, self.positions = length, positions
        has_reader = any(_reads(tower) for tower in towers.values())
        self.prompts = nn.ModuleDict(
            {tower.name: TextPrompt(tower, length, hidden, tower.entrance.is_read and has_reader) for tower in chosen}
        )
        self.context = LongerContext(length)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding | CallBinding]:
        for name, unit in self.prompts.items():
            entrance = towers[name].entrance
            yield CallBinding(name, entrance.embeddings.path, unit.enter, unit.leave)
            if entrance.positions is not None and not self.positions:
                output = Tap(entrance.positions, 'output')
                if entrance.position_ids is None:
                    yield Binding(name, None, (), output, unit.bare_and_later)
                else:
                    yield Binding(name, None, (), entrance.position_ids, unit.text_positions)
                    yield Binding(name, None, (), output, unit.bare)
        if any(unit.stays for unit in self.prompts.values()):
            for tower in filter(_reads, towers.values()):
                yield CallBinding(tower.name, tower.entrance.embeddings.path, self.context.enter, self.context.leave)

    def prompt_rows(self, tower: str) -> int:
        return self.length if tower in self.prompts else 0

    def role_of(self, name: str) -> str:
        return 'soft_prompt'
