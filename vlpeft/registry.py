"""Registries of vlpeft: children of MMEngine's, scope ``vlpeft``.

A type is found without a prefix in vlpeft, and with one anywhere (``type='mmpretrain.VisionTransformer'``).
``locations`` name the packages that a registry imports on first use, so ``import vlpeft`` stays light.
"""

from typing import Any

from mmengine import registry as parent
from mmengine.registry import Registry

from .nearest import suggestion

SCOPE = 'vlpeft'


class SuggestingRegistry(Registry):
    """MMEngine's, whose error for an unknown type names the nearest one."""

    def build(self, cfg: dict, *args, **kwargs) -> Any:
        """Builds what ``cfg`` says. Errors: those of MMEngine's ``build_from_cfg``."""
        try:
            return super().build(cfg, *args, **kwargs)
        except KeyError as error:
            kind = cfg.get('type')
            missed = f'{kind} is not in the '
            if isinstance(kind, str) and error.args and str(error.args[0]).startswith(missed):
                raise KeyError(f'{missed}{SCOPE}::{self.name} registry{suggestion(kind, names_of(self))}') from None
            raise


def names_of(registry: Registry) -> list[str]:
    """Names that a registry and those above it know, its own first."""
    names: dict = {}
    while registry is not None:
        names.update(dict.fromkeys(registry.module_dict))
        registry = registry.parent
    return list(names)


def _child(name: str, of: Registry, *locations: str) -> Registry:
    return SuggestingRegistry(name, parent=of, scope=SCOPE, locations=list(locations))


MODELS = _child('model', parent.MODELS, 'vlpeft.models')
DATASETS = _child('dataset', parent.DATASETS, 'vlpeft.datasets')
TRANSFORMS = _child('transform', parent.TRANSFORMS, 'vlpeft.datasets.transforms')
DATA_SAMPLERS = _child('data sampler', parent.DATA_SAMPLERS, 'vlpeft.datasets.samplers')
METRICS = _child('metric', parent.METRICS, 'vlpeft.evaluation.metrics')
HOOKS = _child('hook', parent.HOOKS, 'vlpeft.engine.hooks')
LOOPS = _child('loop', parent.LOOPS, 'vlpeft.engine.loops')
OPTIM_WRAPPERS = _child('optim wrapper', parent.OPTIM_WRAPPERS, 'vlpeft.engine.optim')
OPTIMIZERS = _child('optimizer', parent.OPTIMIZERS, 'vlpeft.engine.optim')
PARAM_SCHEDULERS = _child('parameter scheduler', parent.PARAM_SCHEDULERS, 'vlpeft.engine.optim')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', parent.OPTIM_WRAPPER_CONSTRUCTORS, 'vlpeft.engine.optim'
)
STRATEGIES = _child('strategy', parent.STRATEGIES, 'vlpeft.engine.strategies')
FUNCTIONS = _child('function', parent.FUNCTIONS, 'vlpeft.engine.functions')

ADAPTERS = SuggestingRegistry('adapter', scope=SCOPE, locations=['vlpeft.adapters'])
READERS = SuggestingRegistry('reader', scope=SCOPE, locations=['vlpeft.datasets.readers'])
DIALECTS = SuggestingRegistry('layout', scope=SCOPE, locations=['vlpeft.checkpoint.dialects'])

ALL = (
    MODELS,
    ADAPTERS,
    DATASETS,
    READERS,
    TRANSFORMS,
    DATA_SAMPLERS,
    METRICS,
    HOOKS,
    LOOPS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    STRATEGIES,
    FUNCTIONS,
    DIALECTS,
)

# Registries without parts of ours yet: they let MMEngine search under our default scope without a warning.
for _registry in (
    parent.RUNNERS,
    parent.EVALUATOR,
    parent.VISUALIZERS,
    parent.VISBACKENDS,
    parent.LOG_PROCESSORS,
    parent.MODEL_WRAPPERS,
    parent.WEIGHT_INITIALIZERS,
    parent.INFERENCERS,
    parent.TASK_UTILS,
):
    _child(_registry.name, _registry)
