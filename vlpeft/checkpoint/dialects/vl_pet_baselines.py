"""Names of the baselines in files of VL-PET's code, which are those of VL-Adapter's: its adapters, and LoRA, on BART.

What one module does for all tasks is repeated under the name of every task: below ``….adapters.{task}`` an adapter,
as ``….lora_As.{task}`` and ``….lora_Bs.{task}`` the two factors of LoRA.
"""

#: Tower -> our kind of sub-layer -> the adapter at its output.
ADAPTERS = dict(
    encoder=dict(self_attn='attn_adapter', ffn='ff_adapter'),
    decoder=dict(self_attn='self_attn_adapter', cross_attn='enc_attn_adapter', ffn='ff_adapter'),
)
#: Tower -> our kind of attention -> theirs.
ATTENTIONS = dict(encoder=dict(self_attn='self_attn'), decoder=dict(self_attn='self_attn', cross_attn='encoder_attn'))
_LAYER = 'model.{tower}.layers.{{i}}.{name}'


def baseline_names() -> list[tuple[str, str]]:
    """Pairs (ours, theirs without a task): those of ``Bottleneck`` and ``LoRA``."""
    return [
        *(
            (f'adapter.layers.{tower}_{{i}}_{kind}.{side}.{{wb}}', f'{place}.{side}_sampler.{{wb}}')
            for tower, kind, place in _places(ADAPTERS)
            for side in ('down', 'up')
        ),
        *(
            (f'adapter.layers.{tower}_{{i}}_{kind}_{role}.{side}.weight', f'{place}.{role}_proj.lora_{factor}s')
            for tower, kind, place in _places(ATTENTIONS)
            for role in ('q', 'v')
            for side, factor in (('down', 'A'), ('up', 'B'))
        ),
    ]


def of_task(task: str) -> list[tuple[str, str]]:
    """Pairs (theirs without a task, theirs)."""
    return [
        *((f'{place}.{{rest}}', f'{place}.adapters.{task}.{{rest}}') for _, _, place in _places(ADAPTERS)),
        *(
            (f'{place}.{role}_proj.lora_{factor}s', f'{place}.{role}_proj.lora_{factor}s.{task}')
            for _, _, place in _places(ATTENTIONS)
            for role in ('q', 'v')
            for factor in 'AB'
        ),
    ]


def _places(table: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [
        (tower, kind, _LAYER.format(tower=tower, name=name))
        for tower, kinds in table.items()
        for kind, name in kinds.items()
    ]
