"""Checkpoints of VL-PET's code: BART or T5, visual embedding and method in one state dict, its keys after ``module.``.

What differs from ours beside the names: a down-projection lies in N_h parts (``…multihead_down.{h}``, in index order
along the output), the value adapter and the baselines are repeated under every task, and the word embeddings under
every place that uses them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import RenamingDialect
from .keymap import KeyMap
from .vl_pet_baselines import baseline_names, mark_own, names_a_task, of_task, of_towers, unmark_own

PREFIX = 'lm.'
HEADS = 4
IMAGE_TASKS, VIDEO_TASKS = ('vqa', 'gqa', 'nlvr', 'caption'), ('tvqa', 'how2qa', 'tvc', 'yc2c')
_PARALLEL = 'module.'
_HEAD = re.compile(r'(.+_multihead_down)\.(\d+)\.(weight|bias)')
# Names of the encoder's branches and of a block's attention and FFN, and of the value projection's owner.
_PLACES = dict(
    bart=dict(
        encoder='model.encoder',
        attn='model.encoder.layers.{i}',
        ff='model.encoder.layers.{i}',
        value='model.decoder.layers.{i}.encoder_attn',
        table='model.shared.weight',
        decoder='model.decoder',
    ),
    t5=dict(
        encoder='encoder',
        attn='encoder.block.{i}.layer.0',
        ff='encoder.block.{i}.layer.1',
        value='decoder.block.{i}.layer.1.EncDecAttention',
        table='shared.weight',
        decoder='decoder',
    ),
)
_KINDS = dict(attn='self_attn', ff='ffn')
# The two gates of one linear map differ in width only; ours goes by this name while it is written.
_SMALL = 'gate.linear_small'


def _names(family: str, tasks: tuple[str, ...]) -> list[tuple[str, str]]:
    places = _PLACES[family]
    names = []
    for kind, ours in _KINDS.items():
        layer, place = f'adapter.layers.encoder_{{i}}_{ours}', places[kind]
        gate = f'{place}.encoder_{kind}_adapter_gating'
        names += [
            (f'{layer}.bottleneck.down.{{wb}}', f'{place}.{kind}_adapter_multihead_down.{{wb}}'),
            (f'{layer}.bottleneck.up.{{wb}}', f'{place}.{kind}_adapter_multihead_up.{{wb}}'),
            (f'{layer}.gate.bottleneck.down.{{wb}}', f'{gate}_large_x_down.{{wb}}'),
            (f'{layer}.gate.bottleneck.up.{{wb}}', f'{gate}_large_x_up.{{wb}}'),
            (f'{layer}.gate.linear.{{wb}}', f'{gate}_middle_xy_add.{{wb}}'),
            (f'{layer}.{_SMALL}.{{wb}}', f'{gate}_small_xy_cat.{{wb}}'),
            (f'{layer}.gate.z', f'{gate}_middle_ia3_add'),
        ]
    names += [
        (
            f'adapter.values.decoder_{{i}}_cross_attn_v.{side}.{{wb}}',
            f'{places["value"]}.attn_value_parallel_adapter.{side}_sampler.{{wb}}',
        )
        for side in ('down', 'up')
    ]
    names += baseline_names(tasks) if family == 'bart' else []
    visual = f'{places["encoder"]}.visual_embedding'
    names += [
        ('visual_embedding.feature.{i}.{wb}', f'{visual}.feat_embedding.{{i}}.{{wb}}'),
        ('visual_embedding.position.{i}.{wb}', f'{visual}.absolute_vis_pos_embedding.{{i}}.{{wb}}'),
        ('visual_embedding.image.weight', f'{visual}.img_order_embedding.weight'),
        # Last, because it matches everything.
        (f'{PREFIX}{{rest}}', '{rest}'),
    ]
    return names


def _of_tasks(family: str, tasks: tuple[str, ...]) -> list[tuple[str, str]]:
    adapter = f'{_PLACES[family]["value"]}.attn_value_parallel_adapter'
    names = [(f'{adapter}.{{rest}}', f'{adapter}.adapters.{task}.{{rest}}') for task in tasks]
    return [*names, *(pair for task in tasks if family == 'bart' for pair in of_task(task))]


def _tables(family: str) -> list[tuple[str, str]]:
    places = _PLACES[family]
    tables = [
        f'{places["encoder"]}.embed_tokens.weight',
        f'{places["decoder"]}.embed_tokens.weight',
        'lm_head.weight',
        f'{places["encoder"]}.visual_embedding.obj_order_embedding.weight',
    ]
    return [(places['table'], table) for table in tables]


@DIALECTS.register_module(name='vl_pet')
class VLPETDialect(RenamingDialect):
    """VL-PET's code on the image tasks, .pth: VL-PET, VL-Adapter, Compacter, Hyperformer, LoRA, prompts, full
    fine-tuning; whole or the trained part.
    """

    name = 'vl_pet'
    towers = ('lm',)
    whole = False
    tasks = IMAGE_TASKS
    other_tasks: tuple[str, ...] | None = VIDEO_TASKS
    ignored = [(r'(module\.)?final_logits_bias$', 'a constant')]
    #: ``'bart'`` or ``'t5'``: whose names are written.
    family: str | None = None

    def of_model(self, model: nn.Module) -> 'VLPETDialect':
        """With the names of the model's family: a trained part alone does not tell it."""
        family = getattr(getattr(getattr(model, 'lm', None), 'config', None), 'model_type', type(model).__name__)
        self._use(family)
        return self

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """A method's name of one of the tasks; or the visual embedding, where no task is named: all was fine-tuned."""
        if _name_one(weights, self.tasks):
            return True
        if self.other_tasks is None or _name_one(weights, self.other_tasks):
            return False
        return any('visual_embedding.feat_embedding.' in key for key in weights)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict in our keys.

        Raises:
            CheckpointError: Two names of one tensor hold different values, or parts of a projection are missing.
        """
        weights = {key.removeprefix(_PARALLEL): value for key, value in weights.items()}
        self._use('bart' if any(key.startswith('model.') for key in weights) else 't5')
        state = super().to_vlpeft(mark_own(_join_heads(weights)))
        return {key.replace(_SMALL, 'gate.linear'): value for key, value in state.items()}

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """A checkpoint of this layout. Arguments: :class:`RenamingDialect`.

        Raises:
            CheckpointError: As there; or :meth:`of_model` was not called and the keys do not tell the family.
        """
        if self.family is None:
            of_lm = [key for key in state if key.startswith(PREFIX)]
            if not of_lm:
                raise CheckpointError(
                    f'the {self.name} layout names BART and T5 differently, and keys without any of '
                    'the language model do not tell which it is: call of_model(model) first'
                )
            self._use('bart' if any(key.startswith(f'{PREFIX}model.') for key in of_lm) else 't5')
        return super().from_vlpeft({_mark_small(key, state): value for key, value in state.items()})

    def _use(self, family: str) -> None:
        if family not in _PLACES:
            raise CheckpointError(f'the {self.name} layout holds models of {" and ".join(_PLACES)}, not of {family}')
        self.family = family
        self.keymap = KeyMap(_names(family, self.tasks))
        by_task = _of_tasks(family, self.tasks)
        self.by_task, self.aliases = KeyMap(by_task), KeyMap([*by_task, *_tables(family), *of_towers()])

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Released names, aliases included."""
        weights = _split_heads(super().rename(state))
        weights = {unmark_own(key): value for key, value in weights.items() if not self._is_of_no_task(key)}
        table = weights.get(_PLACES[self.family]['table'])
        if self.family == 'bart' and table is not None:
            weights['final_logits_bias'] = table.new_zeros(1, len(table))
        return weights

    def _is_of_no_task(self, key: str) -> bool:
        """What all tasks share has no name of its own, only those of the tasks."""
        return self.by_task.to_theirs(key) is not None and self.by_task.to_ours(key) is None

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """As torch's DDP wrapper saves it."""
        return {f'{_PARALLEL}{key}': value for key, value in weights.items()}


@DIALECTS.register_module(name='vl_pet_video')
class VLPETVideoDialect(VLPETDialect):
    """VL-PET's code on the video tasks, .pth: as vl_pet, but full fine-tuning, which names no task, is vl_pet."""

    name = 'vl_pet_video'
    tasks, other_tasks = VIDEO_TASKS, None


def _name_one(keys: Iterable[str], tasks: tuple[str, ...]) -> bool:
    """Whether a name among the keys is that of a module of one of the tasks."""
    return any(names_a_task(key, tasks) for key in keys)


def _mark_small(key: str, state: Mapping[str, Tensor]) -> str:
    stem, found, rest = key.partition('.gate.linear.')
    if not found:
        return key
    needed = [f'{stem}.gate.linear.weight', f'{stem}.bottleneck.up.weight']
    if absent := [name for name in needed if name not in state]:
        raise CheckpointError(
            f'{key} is the gate of a branch whose width tells its released name, but the state has '
            f'no {" and no ".join(absent)}'
        )
    of_gate, of_branch = (state[name] for name in needed)
    return f'{stem}.{_SMALL}.{rest}' if of_gate.shape[1] == 2 * len(of_branch) else key


def _join_heads(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    joined: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for key, value in weights.items():
        if match := _HEAD.fullmatch(key):
            parts.setdefault(f'{match[1]}.{match[3]}', {})[int(match[2])] = value
        else:
            joined[key] = value
    for key, heads in parts.items():
        if sorted(heads) != list(range(len(heads))):
            raise CheckpointError(f'{key} has parts {sorted(heads)}; some are missing')
        joined[key] = torch.cat([heads[index] for index in range(len(heads))])
    return joined


def _split_heads(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split = {}
    for key, value in weights.items():
        stem, found, leaf = key.partition('_multihead_down.')
        if not found:
            split[key] = value
            continue
        if len(value) % HEADS:
            raise CheckpointError(f'{key}: the released layout has {HEADS} heads, which do not divide {len(value)}')
        split.update({f'{stem}_multihead_down.{h}.{leaf}': part.clone() for h, part in enumerate(value.chunk(HEADS))})
    return split
