"""What ``adapter_config.json`` says: the settings of peft's ``LoraConfig`` that our LoRA can represent, and the maps
that it names.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from torch import nn

from vlpeft.adaptation.errors import AdapterFolderError

from .patterns import PatternError, Patterns

#: Our own folders have the same two names.
CONFIG, WEIGHTS, PICKLE = 'adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin'

#: Settings that change nothing of what stored matrices compute: names, versions, how the matrices were initialised.
WITHOUT_EFFECT = frozenset(
    'base_model_name_or_path corda_config eva_config inference_mode loftq_config lora_ga_config megatron_core '
    'peft_version qalora_group_size revision runtime_config task_type'.split()
)
#: Settings that are read one by one.
REPRESENTED = frozenset(
    'alpha_pattern auto_mapping bias exclude_modules fan_in_fan_out init_lora_weights layers_pattern '
    'layers_to_transform lora_alpha lora_dropout peft_type r rank_pattern target_modules use_dora use_rslora'.split()
)
#: Characters of a value that a message repeats.
SHOWN = 100
#: Initialisations that leave the base's weights as they are.
INITIALISATIONS = (True, False, 'gaussian', 'eva', 'orthogonal')


class LoraSettings:
    """A checked ``adapter_config.json`` of a LoRA.

    Args:
        file: The file.

    Raises:
        AdapterFolderError: It cannot be read, or has a setting that our LoRA cannot represent; the message names the
            setting and its value.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.patterns = file, Patterns()
        self.values = _read_object(file)
        self._check()
        self.dropout = self._number('lora_dropout', 0.0)
        if not 0 <= self.dropout < 1:
            raise self.refusal('lora_dropout', 'a rate is at least 0 and below 1')

    def refusal(self, key: str, reason: str) -> AdapterFolderError:
        """The error that names a setting and its value."""
        value = json.dumps(self.values.get(key))
        value = value if len(value) <= SHOWN else f'{value[:SHOWN]} …'
        return AdapterFolderError(f'{self.file}: {key}={value}: {reason}')

    def _check(self) -> None:
        if self.values.get('peft_type') != 'LORA':
            raise self.refusal('peft_type', 'of the methods of peft only LORA can be loaded')
        for key, value in sorted(self.values.items()):
            if key not in WITHOUT_EFFECT | REPRESENTED and value:
                raise self.refusal(key, "vlpeft's LoRA cannot represent this setting, it must be off")
        if self.values.get('bias', 'none') != 'none':
            raise self.refusal('bias', 'biases of the base stay as they are in vlpeft\'s LoRA, it must be "none"')
        if self.values.get('init_lora_weights', True) not in INITIALISATIONS:
            reason = (
                "the matrices are those of a base with other weights; save with peft's "
                'path_initial_model_for_weight_conversion, which makes them a LoRA of the base itself'
            )
            raise self.refusal('init_lora_weights', reason)
        for key in ('target_modules', 'exclude_modules', 'layers_pattern'):
            value = self.values.get(key)
            if (value or key == 'target_modules') and not _is_text_or_texts(value):
                raise self.refusal(key, 'expected a list of module names, or a pattern')

    def _number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.refusal(key, 'expected a number')
        return value

    def check_base(self, model: nn.Module) -> None:
        """Compares the class of the base, where the folder names it, with that of the model and what it derives from.

        Raises:
            AdapterFolderError: It is another.
        """
        mapping = self.values.get('auto_mapping')
        found = mapping.get('base_model_class') if isinstance(mapping, dict) else None
        if found is not None and found not in [cls.__name__ for cls in type(model).__mro__]:
            raise self.refusal('auto_mapping', f'the base is a {found}, this model a {type(model).__name__}')

    def check_orientation(self, transposed: set[bool]) -> None:
        """Compares ``fan_in_fan_out`` with the maps.

        Args:
            transposed: For the maps that the folder adapts, whether they store (in, out), as GPT-2's ``Conv1D`` does.

        Raises:
            AdapterFolderError: None of the maps stores its weight the way that the setting says.
        """
        if bool(self.values.get('fan_in_fan_out', False)) not in transposed:
            found = 'Conv1D, which stores (in, out)' if True in transposed else 'Linear, which stores (out, in)'
            raise self.refusal('fan_in_fan_out', f'each map that the folder adapts is a {found}')

    def rank(self, name: str) -> int:
        """r of the map ``name``."""
        return self._of_pattern('rank_pattern', name, 'r', 8)

    def alpha(self, name: str) -> float:
        """α of the map ``name``, for a change of (α / r) B A, or of (α / √r) B A with ``use_rslora``."""
        return self._of_pattern('alpha_pattern', name, 'lora_alpha', 8)

    @property
    def kind(self) -> str:
        """Which method of ours it is."""
        return 'DoRA' if self.values.get('use_dora') else 'LoRA'

    @property
    def scaling(self) -> str:
        """That of our LoRA."""
        return 'rslora' if self.values.get('use_rslora') else 'standard'

    def _of_pattern(self, pattern: str, name: str, key: str, default: float) -> Any:
        """peft's rule: the first entry of the pattern that matches the end of the name, else the setting ``key``."""
        entries = self.values.get(pattern) or {}
        if not isinstance(entries, dict) or not all(_is_number(value) for value in entries.values()):
            raise self.refusal(pattern, 'expected an object of numbers')
        for entry, value in entries.items():
            if self._match(pattern, rf'(.*\.)?({entry})$', name):
                return value
        return self._number(key, default)

    def _match(self, key: str, pattern: str, name: str, whole: bool = False) -> re.Match | None:
        try:
            return self.patterns.match(pattern, name, whole)
        except PatternError as error:
            raise self.refusal(key, str(error)) from error

    def selects(self, name: str) -> bool:
        """Whether peft would adapt the linear map ``name``."""
        targets, excluded = self.values['target_modules'], self.values.get('exclude_modules')
        if excluded and self._names('exclude_modules', excluded, name):
            return False
        if targets == 'all-linear':
            return True
        if not self._names('target_modules', targets, name):
            return False
        return isinstance(targets, str) or name in targets or self._in_layers(name)

    def _names(self, key: str, wanted: str | list, name: str) -> bool:
        if isinstance(wanted, str):
            return self._match(key, wanted, name, whole=True) is not None
        return name in wanted or any(name.endswith(f'.{end}') for end in wanted)

    def _in_layers(self, name: str) -> bool:
        """``layers_to_transform``, whose index is that behind ``layers_pattern`` or the first number of the path."""
        layers = self.values.get('layers_to_transform')
        if layers is None or layers == []:
            return True
        patterns = self.values.get('layers_pattern') or []
        patterns = [patterns] if isinstance(patterns, str) else patterns
        rules = [rf'(?:^|.*?\.){pattern}\.(?P<index>\d+)\.' for pattern in patterns]
        for rule in rules or [r'.*?\.[^.]*\.(?P<index>\d+)\.']:
            if found := self._match('layers_pattern', rule, name):
                index = int(found['index'])
                return index in (layers if isinstance(layers, list) else [layers])
        return False


def is_peft_folder(folder: Path) -> bool:
    """Whether a folder holds an adapter of Hugging Face PEFT: its ``adapter_config.json`` has a ``peft_type``."""
    try:
        return 'peft_type' in _read_object(folder / CONFIG)
    except AdapterFolderError:
        return False


def _is_text_or_texts(value: Any) -> bool:
    return isinstance(value, str) or isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _read_object(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterFolderError(f'{file}: cannot be read ({error})') from error
    if not isinstance(values, dict):
        raise AdapterFolderError(f'{file}: expected an object, found {type(values).__name__}')
    return values
