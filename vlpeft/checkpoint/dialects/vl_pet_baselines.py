"""Names of the baselines in files of VL-PET's code, which are those of VL-Adapter's, on BART: its adapters (one for all
tasks, one for each, or half of it shared), Compacter, Hyperformer, LoRA and prompts.

What one module does for all tasks is repeated under the name of every task: below ``….adapters.{task}`` an adapter,
below ``….prompts.{task}`` a prompt, as ``….lora_As.{task}`` and ``….lora_Bs.{task}`` the two factors of LoRA. An
adapter of every task has the same names, and other values; while it is read and written, its names begin with
``…adapter_of.{task}``.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

#: Tower -> our kind of sub-layer -> the adapter at its output.
ADAPTERS = dict(
    encoder=dict(self_attn='attn_adapter', ffn='ff_adapter'),
    decoder=dict(self_attn='self_attn_adapter', cross_attn='enc_attn_adapter', ffn='ff_adapter'),
)
#: Tower -> our kind of attention -> theirs.
ATTENTIONS = dict(encoder=dict(self_attn='self_attn'), decoder=dict(self_attn='self_attn', cross_attn='encoder_attn'))
#: Tower -> our kind of sub-layer -> what Hyperformer's generators of it begin with.
GENERATORS = dict(
    encoder=dict(self_attn='self_attention', ffn='feed_forward'),
    decoder=dict(self_attn='self_attention', cross_attn='cross_attention', ffn='feed_forward'),
)
#: Released name of a task -> ours, where they differ.
TASKS = dict(nlvr='nlvr2')
_LAYER = 'model.{tower}.layers.{{i}}.{name}'
_PROMPT = 'model.encoder.prompt_modules'
#: A prompt's table, and the MLP that makes rows of it.
_PROMPT_PARTS = (('table', '0.weight'), ('mlp.0.{wb}', '1.{wb}'), ('mlp.2.{wb}', '3.{wb}'))
_SIDES = ('down', 'up')
_EMBEDDINGS = 'task_to_embeddings'
_OF_ALL = f'model.shared_task_embed.{_EMBEDDINGS}'
_ADAPTER = re.compile(r'(model\.\w+coder\.layers\.\d+\.(?:self_attn|enc_attn|attn|ff)_adapter)(\.adapters|_of)\.(.+)')


def baseline_names(tasks: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (ours, theirs without a task): Bottleneck, Compacter, Hyperformer, LoRA and PromptTuning."""
    prompts = [
        (f'adapter.prompts.encoder.{ours}', f'{_PROMPT}.prefix_embedding.{theirs}') for ours, theirs in _PROMPT_PARTS
    ]
    return [*_adapter_names(tasks), *_hyperformer_names(tasks), *_lora_names(), *prompts]


def _adapter_names(tasks: Sequence[str]) -> list[tuple[str, str]]:
    names = []
    for tower, kind, place in _places(ADAPTERS):
        for side in _SIDES:
            ours, theirs = f'adapter.layers.{tower}_{{i}}_{kind}.{side}', f'{side}_sampler'
            names += [
                (f'{ours}.{{wb}}', f'{place}.{theirs}.{{wb}}'),
                (f'{ours}.W', f'{place}.{theirs}.W'),
                (f'{ours}.b', f'{place}.{theirs}.b'),
                (f'{ours}.rule.phm_rule', f'{place}.{theirs}.phm_rule'),
                *((f'{ours}.{TASKS.get(task, task)}.{{wb}}', f'{place}_of.{task}.{theirs}.{{wb}}') for task in tasks),
            ]
    return names


def _hyperformer_names(tasks: Sequence[str]) -> list[tuple[str, str]]:
    names = [(f'adapter.task_embeddings.vectors.{TASKS.get(task, task)}', f'{_OF_ALL}.{task}') for task in tasks]
    for tower, kinds in GENERATORS.items():
        ours, theirs = f'adapter.nets.{tower}', f'model.{tower}.adapter_layers_hyper_net'
        names += [
            (f'{ours}.depths.weight', f'{theirs}.layer_id_embeddings.weight'),
            # Spelt so.
            (f'{ours}.project.{{i}}.{{wb}}', f'{theirs}.task_hypernet.task_embeding_generator.{{i}}.{{wb}}'),
            (f'{ours}.norm.{{wb}}', f'{theirs}.LayerNorm.{{wb}}'),
            *(
                (
                    f'{ours}.generators.{kind}.{side}.{what}.{{wb}}',
                    f'{theirs}.{name}_{side}_sampler_hyper_net.{what}_generator.0.{{wb}}',
                )
                for kind, name in kinds.items()
                for side in _SIDES
                for what in ('weight', 'bias')
            ),
        ]
    return names


def _lora_names() -> list[tuple[str, str]]:
    return [
        (f'adapter.layers.{tower}_{{i}}_{kind}_{role}.{side}.weight', f'{place}.{role}_proj.lora_{factor}s')
        for tower, kind, place in _places(ATTENTIONS)
        for role in ('q', 'v')
        for side, factor in (('down', 'A'), ('up', 'B'))
    ]


def of_task(task: str) -> list[tuple[str, str]]:
    """Pairs (theirs without a task, theirs)."""
    return [
        (f'{_PROMPT}.{{rest}}', f'{_PROMPT}.prompts.{task}.{{rest}}'),
        *((f'{place}.{{rest}}', f'{place}.adapters.{task}.{{rest}}') for _, _, place in _places(ADAPTERS)),
        *(
            (f'{place}.{role}_proj.lora_{factor}s', f'{place}.{role}_proj.lora_{factor}s.{task}')
            for _, _, place in _places(ATTENTIONS)
            for role in ('q', 'v')
            for factor in 'AB'
        ),
    ]


def of_towers() -> list[tuple[str, str]]:
    """Pairs (theirs, theirs below a tower): the embeddings of tasks."""
    return [(f'{_OF_ALL}.{{rest}}', f'model.{tower}.task_embed.{_EMBEDDINGS}.{{rest}}') for tower in GENERATORS]


def names_a_task(key: str, tasks: Sequence[str]) -> bool:
    """Whether a key is that of a tensor of one of the tasks, of any method."""
    parts = key.split('.')
    above = parts[-2] if len(parts) > 1 else ''
    return (above in ('lora_As', 'lora_Bs', _EMBEDDINGS) and parts[-1] in tasks) or any(
        f'.{group}.{task}.' in key for task in tasks for group in ('adapters', 'prompts')
    )


def mark_own(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Files' names, those of the maps that every task has for itself told from those that are one for all.

    A side, down or up, is one for all if its matrices are the same under every task wherever it is, and each task's own
    if they are others everywhere. A file in which that differs from place to place is read as one for all, so that its
    contradiction is seen.
    """
    matrices: dict[str, dict[str, list[Tensor]]] = {side: {} for side in _SIDES}
    for key, value in weights.items():
        match = _ADAPTER.fullmatch(key)
        _, _, leaf = (match[3] if match else '').partition('.')
        for side in _SIDES:
            if leaf == f'{side}_sampler.weight':
                matrices[side].setdefault(match[1], []).append(value)
    own = [side for side, places in matrices.items() if places and not any(map(_same, places.values()))]
    return {_marked(key, own): value for key, value in weights.items()}


def _same(values: Sequence[Tensor]) -> bool:
    return all(torch.equal(values[0], other) for other in values[1:])


def _marked(key: str, own: Sequence[str]) -> str:
    match = _ADAPTER.fullmatch(key)
    if match and any(f'.{side}_sampler.' in match[3] for side in own):
        return f'{match[1]}_of.{match[3]}'
    return key


def unmark_own(key: str) -> str:
    """The file's name of one that :func:`mark_own` has told apart."""
    match = _ADAPTER.fullmatch(key)
    return f'{match[1]}.adapters.{match[3]}' if match else key


def _places(table: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [
        (tower, kind, _LAYER.format(tower=tower, name=name))
        for tower, kinds in table.items()
        for kind, name in kinds.items()
    ]
