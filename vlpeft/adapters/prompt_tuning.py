r"""Prompt tuning: P learned rows before the embeddings of every text.

    x ← [prompt, x]                               prompt ∈ R^{P×W}, plain or made by an MLP, see ``soft_prompt.py``

The rows join before the first block and are real in every mask. What leaves the tower has the length of the text again,
so that logits fit labels; an encoder's rows stay, because its decoder attends to them.

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021; the form with an MLP in encoders,
without positions: Sung et al., "VL-Adapter", CVPR 2022, and Hu et al., "VL-PET", ICCV 2023, as a baseline.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, CallBinding, SiteError, Tap, Tower

from .base import Adapter
from .bottleneck_layer import check_choice, check_size
from .places import whole_towers
from .text_prompt import NAME, LongerContext, TextPrompt

INITS = ('normal', 'words')


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
        init: What the table starts from: N(0, 1) (``'normal'``), or embeddings of words drawn from the vocabulary
            (``'words'``), without an MLP. Defaults to ``'normal'``.
        targets: ``dict(towers=[…])``. Defaults to None: encoders and decoder-only language models; a decoder that reads
            an encoder has a prompt only if it is named, or alone.

    Raises:
        SiteError: A named tower, or every tower, takes no embeddings of a text; or ``'words'`` of a tower that does not
            embed them itself.
        ValueError: ``length`` or ``hidden`` is no integer of at least 1, an unknown ``init``, or ``'words'`` beside
            ``hidden``.
    """

    rows_independent = False

    def __init__(
        self,
        towers: Mapping[str, Tower],
        length: int = 20,
        hidden: int | None = None,
        positions: bool = False,
        init: str = 'normal',
        targets: dict | None = None,
    ) -> None:
        super().__init__(towers)
        check_size('length', length)
        check_choice(NAME, 'init', init, INITS)
        if hidden is not None:
            check_size('hidden', hidden)
            if init == 'words':
                raise ValueError(f"{NAME}: init='words' is for a table alone, whose rows are words; leave out hidden")
        targets = targets or {}
        chosen = whole_towers(targets, towers, NAME, _lack)
        if targets.get('towers') is None:
            chosen = [tower for tower in chosen if not _reads(tower)] or chosen
        for tower in chosen if init == 'words' else ():
            if tower.entrance.words is None:
                raise SiteError(f'{NAME}: init=\'words\', but tower "{tower.name}" gets its words as embeddings')
        self.length, self.positions, self.init = length, positions, init
        has_reader = any(_reads(tower) for tower in towers.values())
        self.prompts = nn.ModuleDict(
            {tower.name: TextPrompt(tower, length, hidden, tower.entrance.is_read and has_reader) for tower in chosen}
        )
        self.context = LongerContext(length)

    def start_from(self, towers: Mapping[str, Tower]) -> None:
        for name, unit in self.prompts.items() if self.init == 'words' else ():
            unit.copy_words(towers[name])

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
