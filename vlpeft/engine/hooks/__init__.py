"""Hooks: what happens around training."""

from .adapter_checkpoint import AdapterCheckpointHook
from .alpha_ramp import AlphaRampHook
from .answer_list import AnswerListHook
from .epoch_seed import EpochSeedHook
from .feature_cache import FeatureCacheHook
from .finite_guard import FiniteGuardHook
from .freeze_report import FreezeReportHook
from .memory_report import MemoryReportHook
from .predictions import PredictionsHook
from .schedule_check import ScheduleCheckHook
from .stop_on_signal import StopOnSignalHook

__all__ = [
    'AdapterCheckpointHook',
    'AlphaRampHook',
    'AnswerListHook',
    'EpochSeedHook',
    'FeatureCacheHook',
    'FiniteGuardHook',
    'FreezeReportHook',
    'MemoryReportHook',
    'PredictionsHook',
    'ScheduleCheckHook',
    'StopOnSignalHook',
]
