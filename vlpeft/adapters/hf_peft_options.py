"""Which methods of Hugging Face's package ``peft`` can stand at sites, and which of their options."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vlpeft.nearest import suggestion
from vlpeft.sites import SiteError

#: Types whose layers act on one linear map each and start without a look at the base's weights, of which some are not
#: there yet when a method is built. Each is compared with the package's own model in the tests.
SUPPORTED = (
    'LoraConfig',
    'AdaLoraConfig',
    'LoHaConfig',
    'LoKrConfig',
    'OFTConfig',
    'BOFTConfig',
    'VeraConfig',
    'IA3Config',
    'FourierFTConfig',
    'HRAConfig',
    'C3AConfig',
    'GraloraConfig',
    'MissConfig',
    'RandLoraConfig',
    'RoadConfig',
    'VBLoRAConfig',
)
INSTEAD = dict(
    PromptTuningConfig='PromptTuning',
    PromptEncoderConfig='PromptTuning',
    PrefixTuningConfig='PrefixTuning',
    LNTuningConfig='NormTuning',
)
#: Options that name modules, tokens or parts of the base, or that change its weights, and what is theirs here.
FOREIGN = dict.fromkeys(
    ('target_modules', 'feedforward_modules', 'exclude_modules', 'layers_to_transform', 'layers_pattern'),
    'targets names the sites',
)
FOREIGN.update(
    dict.fromkeys(('rank_pattern', 'alpha_pattern', 'target_parameters', 'layer_replication'), 'write a list of HFPEFT')
)
FOREIGN.update(
    dict.fromkeys(('bias', 'modules_to_save', 'trainable_token_indices'), 'trainable names parts of the model')
)
FOREIGN.update(use_dora='write type="DoRA"', inference_mode='a method is built to train')
FOREIGN.update(
    dict.fromkeys(('use_qalora', 'use_bdlora', 'alora_invocation_tokens'), 'it needs the model of the package')
)


def config_class(kind: str) -> type:
    """The package's class of a config.

    Raises:
        SiteError: It cannot stand at sites.
        ImportError: The package is not installed.
    """
    try:
        import peft
    except ImportError:
        raise ImportError("HFPEFT needs Hugging Face's package: pip install 'vlpeft[peft]'") from None
    if kind in INSTEAD:
        raise SiteError(f"HFPEFT: {kind} acts on no linear map; write type='{INSTEAD[kind]}'")
    if kind not in SUPPORTED:
        known = 'does not act at linear maps alone' if hasattr(peft, str(kind)) else 'is no config of the package peft'
        raise SiteError(f'HFPEFT: {kind} {known}{suggestion(str(kind), SUPPORTED)}; there are: {", ".join(SUPPORTED)}')
    if not hasattr(peft, kind):
        raise SiteError(f'HFPEFT: {kind} is not in peft {peft.__version__}, which is installed')
    return getattr(peft, kind)


def check_options(cls: type, options: Mapping[str, Any]) -> None:
    """Refuses options that there are not, or that reach beyond the layers.

    Raises:
        SiteError: One names modules or changes the base.
        ValueError: There is no such option.
    """
    fields = {field.name for field in dataclasses.fields(cls) if field.init}
    for name, value in options.items():
        if name not in fields:
            raise ValueError(
                f'HFPEFT: {cls.__name__} has no option {name!r}{suggestion(name, sorted(fields), len(fields))}'
            )
        foreign = FOREIGN.get(name, 'it needs the model of the package' if name.endswith('_config') else None)
        if foreign is not None and value not in (None, False, 'none', [], {}):
            raise SiteError(f'HFPEFT: {cls.__name__}({name}={value!r}) cannot stand here: {foreign}')
    start = options.get('init_lora_weights', True)
    if start not in (True, False, 'gaussian', 'orthogonal'):
        raise SiteError(f'HFPEFT: init_lora_weights={start!r} changes weights of the base, which stays as it is')
