"""Prints the table of docs/methods/README.md: where methods act, their parameters, whether they merge, their backbones.

Parameters are those that train beside heads and visual projection, on BLIP-base for retrieval and on BART-base with
vision tokens. Merging and backbones are what the contract (vlpeft.testing) finds on its tiny backbones.
"""

import argparse
import sys
from typing import NamedTuple

import torch
from mmengine.registry import init_default_scope

from vlpeft.engine.config_file import read_config
from vlpeft.engine.messages import run_main
from vlpeft.zoo.folder import zoo_root

#: Models whose parameters are counted.
BASES = {'BLIP-base': '_base_/models/blip_base.py', 'BART-base': '_base_/models/vl_bart.py'}
HEAD = ('method', 'acts at', *BASES, 'merges', 'backbones')


class Method(NamedTuple):
    """A line of the table.

    Attributes:
        title: What the line is called.
        page: In docs/methods.
        places: Where it acts, in words.
        config: As counted, with the places that it usually has.
        on_blip: As counted on BLIP-base, where that is another config. Defaults to None.
        alone: As attached to the backbones of the contract. Defaults to None, ``config``.
        note: In place of the backbones, where a method needs more than one of them has. Defaults to ''.
    """

    title: str
    page: str
    places: str
    config: dict
    on_blip: dict | None = None
    alone: dict | None = None
    note: str = ''


_QV = dict(kinds=['self_attn'], linears=['q', 'v'])
_BRANCHES = dict(kinds=['self_attn', 'ffn'])
METHODS = (
    Method(
        'UniAdapter, r = 128',
        'uniadapter',
        'vision: after the FFN; text: after the self-attention and the FFN, and their fusion; shared by depth',
        dict(type='UniAdapter', bottleneck=128),
        alone=dict(type='UniAdapter', modalities=['vision', 'text'], share='none'),
    ),
    Method(
        'VL-PET large, r = 96',
        'vl_pet',
        'gated, after self-attention and FFN of an encoder; on the values of cross-attentions',
        dict(type='VLPET', granularity='large', bottleneck=96, value_bottleneck=96),
        on_blip=dict(
            type='VLPET',
            granularity='large',
            bottleneck=96,
            value_bottleneck=96,
            targets=dict(towers=['vision', 'text'], **_BRANCHES),
            value_targets=dict(towers=['text'], kinds=['cross_attn'], linears=['v']),
        ),
        alone=dict(type='VLPET', targets=_BRANCHES, value_bottleneck=None),
    ),
    Method(
        "VL-PET's gate alone, large",
        'vl_pet',
        'after branches, or after other adapters there; counted: self-attention and FFN',
        dict(type='Gate', granularity='large', bottleneck=96, targets=_BRANCHES),
    ),
    Method(
        'eP-ALM',
        'epalm',
        "class tokens of an encoder in the inputs of a language model's blocks, and a soft prompt",
        dict(type='EPALM'),
        note='language models beside an encoder',
    ),
    Method(
        'LoRA, r = 16',
        'lora',
        'linear maps; counted: q and v of self-attentions',
        dict(type='LoRA', targets=_QV),
        alone=dict(type='LoRA', targets={}),
    ),
    Method(
        'DoRA, r = 16',
        'dora',
        'linear maps; counted: q and v of self-attentions',
        dict(type='DoRA', targets=_QV),
        alone=dict(type='DoRA', targets={}),
    ),
    Method(
        'VeRA, r = 256',
        'vera',
        'linear maps; counted: q and v of self-attentions',
        dict(type='VeRA', targets=_QV),
        alone=dict(type='VeRA', targets={}),
    ),
    Method(
        'Aurora, r = 64',
        'aurora',
        'linear maps, by factors that all share; counted: all attentions',
        dict(type='Aurora', targets=dict(kinds=['self_attn', 'cross_attn'])),
        # Where a backbone has no cross-attention, too.
        alone=dict(type='Aurora', targets={}),
    ),
    Method(
        'BitFit',
        'bitfit',
        'biases of linear maps and norms, or of a choice',
        dict(type='BitFit', targets={}),
    ),
    Method(
        'Norm tuning',
        'norm_tuning',
        'gains and biases of all norms, or of a choice',
        dict(type='NormTuning', targets={}),
    ),
    Method(
        'IA³',
        'ia3',
        'k, v and the hidden units of feed-forward networks, or other linear maps',
        dict(type='IA3', targets={}),
    ),
    Method(
        'SSF',
        'ssf',
        'outputs of linear maps, norms and patch embeddings; counted without the last',
        dict(type='SSF', targets={}),
    ),
    Method(
        'Bottleneck adapters, r = 96',
        'bottleneck',
        'after branches, or linear maps; counted: all branches',
        dict(type='Bottleneck', targets={}),
    ),
    Method(
        'Compacter, r = 96',
        'compacter',
        'after branches, or linear maps; counted: all branches',
        dict(type='Compacter', targets={}),
    ),
    Method(
        'Hyperformer, r = 96, four tasks',
        'hyperformer',
        'after branches; weights generated for each task and depth; counted: all branches',
        dict(type='Hyperformer', tasks=['vqa', 'gqa', 'nlvr2', 'caption'], targets={}),
    ),
    Method(
        'Ladder side-tuning, D / 8',
        'lst',
        'reads the outputs of all blocks, writes the last state of the tower; no gradient flows through it',
        dict(type='LST', reduction=8),
        alone=dict(type='LST', reduction=2, heads=2),
    ),
    Method(
        'HFPEFT, LoHa, r = 8',
        'hf_peft',
        "linear maps, by layers of Hugging Face's package; counted: q and v of self-attentions",
        dict(type='HFPEFT', config=dict(type='LoHaConfig', r=8), targets=_QV),
        alone=dict(type='HFPEFT', config=dict(type='LoHaConfig', r=2), targets={}),
    ),
    Method(
        'Prompt tuning, 20 rows',
        'prompt_tuning',
        'before the embeddings of texts: encoders, language models',
        dict(type='PromptTuning'),
    ),
    Method(
        'Prefix tuning, 20 rows',
        'prefix_tuning',
        'before the keys and values of self-attentions: language models, decoders',
        dict(type='PrefixTuning'),
    ),
    Method(
        'VPT, deep, 10 rows',
        'vpt',
        'beside the patches, before every block of a vision transformer',
        dict(type='VPT'),
    ),
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='example: %(prog)s', formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser.parse_args(argv)


def parameters(config: dict, base: str) -> int | None:
    """What trains of a method on a model; None where it cannot stand there."""
    from vlpeft.models import count_parameters
    from vlpeft.registry import MODELS
    from vlpeft.sites import SiteError

    init_default_scope('vlpeft')
    model = read_config(zoo_root() / 'configs' / BASES[base]).model
    trained = []
    try:
        for adapter in (config, None):
            with torch.device('meta'):
                built = MODELS.build(dict(model, base_checkpoint=None, adapter=adapter))
            trained.append(count_parameters(built)['trainable'])
    except SiteError:
        return None
    return trained[0] - trained[1]


def stands(config: dict) -> dict[str, bool | None]:
    """For each backbone of the contract whether the method merges there; None where it cannot stand."""
    from vlpeft.sites import SiteError
    from vlpeft.testing import SUBJECTS
    from vlpeft.testing.contract import Case, merged

    found: dict[str, bool | None] = {}
    for name, subject in SUBJECTS.items():
        try:
            found[name] = merged(Case(subject, config).attached())
        except SiteError:
            found[name] = None
    return found


def _names(all_of: dict[str, bool | None], wanted: bool | None) -> list[str]:
    return [name for name, verdict in all_of.items() if verdict is wanted]


def line(method: Method) -> list[str]:
    """The cells of a method."""
    configs = {'BLIP-base': method.on_blip or method.config, 'BART-base': method.config}
    counts = (parameters(configs[base], base) for base in BASES)
    cells = [f'[{method.title}]({method.page}.md)', method.places]
    cells += ['–' if count is None else f'{count:,}' for count in counts]
    found = stands(method.alone or method.config)
    refused, merging = _names(found, None), _names(found, True)
    if method.note:
        return [*cells, 'yes' if merging else 'no', method.note]
    without = _names(found, False)
    merges = 'no' if not merging else 'yes' if not without else 'but on ' + ', '.join(without)
    backbones = f'{len(found) - len(refused)} of {len(found)}'
    return [*cells, merges, backbones + (f'; not {", ".join(refused)}' if refused else '')]


def table() -> str:
    """The whole table in Markdown."""
    head, *lines = (f'| {" | ".join(row)} |\n' for row in (HEAD, *map(line, METHODS)))
    return ''.join((head, '|---|---|---:|---:|---|---|\n', *lines))


def main(argv: list[str] | None = None) -> None:
    parse_args(argv)
    print(table(), end='')


if __name__ == '__main__':
    sys.exit(run_main(main))
