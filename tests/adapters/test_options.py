"""Options of every method in the registry: values of another type than the constructor declares, before any work."""

import inspect
import types
import typing

import pytest
import torch

import vlpeft
from vlpeft.adapters import Adapter
from vlpeft.adapters.options import build_method, check_options
from vlpeft.registry import ADAPTERS
from vlpeft.sites import SiteError
from vlpeft.testing.backbones import _encoder_decoder

NAN = float('nan')
WRONG = {
    bool: (1, 0, 'no', 0.0),
    int: ('4', True, 2.5, NAN, [4], torch.tensor(4)),
    float: ('4', True, NAN, float('inf'), [4.0], torch.tensor(4.0)),
    str: (4, True, ['large']),
}
TEXTS = (4, 'towers', [4], True)


def _methods() -> dict[str, type[Adapter]]:
    ADAPTERS.import_from_location()
    return {name: kind for name, kind in ADAPTERS.module_dict.items() if kind.__module__.startswith('vlpeft.')}


def _wrong_values(hint) -> tuple:
    """What an option of a declared type cannot be."""
    union = isinstance(hint, types.UnionType)
    parts = [part for part in (typing.get_args(hint) if union else (hint,)) if part is not type(None)]
    return WRONG.get(parts[0], TEXTS)


@pytest.fixture(scope='module')
def towers():
    return vlpeft.find_towers(_encoder_decoder('BartForConditionalGeneration', 'BartConfig', 'bart').build())


@pytest.mark.parametrize('name', sorted(_methods()))
def test_every_option_refuses_values_of_another_type_by_its_name(towers, name):
    kind = _methods()[name]
    hints = typing.get_type_hints(kind.__init__)
    needed = {
        option: ['a'] if option == 'tasks' else {}
        for option, declared in inspect.signature(kind).parameters.items()
        if declared.default is declared.empty and option != 'towers'
    }
    options = [option for option in inspect.signature(kind).parameters if option != 'towers']
    assert options
    for option in options:
        values = _wrong_values(hints[option])
        assert values
        for value in values:
            with pytest.raises(ValueError, match=rf'^{name}: {option}='):
                build_method({'type': name, **needed, option: value}, towers)
    with pytest.raises(ValueError, match=f'^{name} has no option .tragets.'):
        build_method(dict(needed, type=name, tragets={}), towers)


@pytest.mark.parametrize(
    ('config', 'text'),
    [
        (dict(type='LoRA', targets={}, rnak=4), "LoRA has no option 'rnak'; did you mean rank?"),
        (dict(type='LoRA'), "LoRA needs the option 'targets'"),
        (dict(type='LoRA', targets=dict(linear=['q'])), "LoRA: targets has no 'linear'; did you mean linears?"),
        (dict(type='LoRA', targets=dict(depths=['0'])), "depths holds '0', which is no integer"),
        (dict(type='LoRA', targets=dict(kinds=[0])), 'kinds holds 0, which is no text'),
        (dict(type='LoRA', targets={}, dropout=1.0), 'dropout=1.0; it is a number of at least 0 and below 1'),
        (dict(type='LoRA', targets={}, dropout=-0.1), 'dropout=-0.1'),
        (dict(type='Bottleneck', targets={}, scale=0), 'scale=0; with it nothing would be trained'),
        (dict(type='Bottleneck', targets={}, act_cfg={}), 'act_cfg={}; it is the config of an activation'),
        (dict(type='Bottleneck', targets={}, act_cfg=dict(type='Relu6')), 'act_cfg='),
        (dict(type='VLPET', scale=0.0), 'scale=0.0'),
        (dict(type='VLPET', gate_bottleneck=0), 'gate_bottleneck=0; it is an integer of at least 1'),
        (dict(type='VLPET', value_bottleneck=0), 'value_bottleneck=0'),
        (dict(type='VLPET', heads=0), 'heads=0'),
        (dict(type='LST', temperature=0.0, heads=2), 'temperature=0.0; it is a number above 0'),
    ],
)
def test_values_with_which_nothing_would_train_and_names_that_do_not_exist(towers, config, text):
    with pytest.raises(ValueError) as refusal:
        build_method(config, towers)
    assert text in str(refusal.value)
    assert '\n' not in str(refusal.value)
    with pytest.raises(ValueError):  # in a list of methods too
        vlpeft.adaptation.build_adapter([dict(type='LoRA', targets={}), config], towers)


def test_methods_of_plugins_are_checked_by_what_they_declare():
    class Own(Adapter):
        def __init__(self, towers, sizes: list[int], level: int | None = None, free=None, **more) -> None: ...

    check_options(Own, dict(sizes=[1, 2], level=None, free=object(), other='x'))
    with pytest.raises(ValueError, match=r"Own: sizes=\['1'\]; it is a list, of which each item is an integer"):
        check_options(Own, dict(sizes=['1']))
    with pytest.raises(ValueError, match='Own: level=True; it is an integer or None'):
        check_options(Own, dict(sizes=[], level=True))
    with pytest.raises(ValueError, match="Own needs the option 'sizes'"):
        check_options(Own, {})
    assert issubclass(SiteError, ValueError)
