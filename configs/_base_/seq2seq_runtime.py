# As default_runtime.py, for sequence-to-sequence models on one task or several.
_base_ = './default_runtime.py'
default_hooks = dict(checkpoint=dict(save_best='auto'), memory=dict(type='MemoryReportHook'))
custom_hooks = [dict(type='FreezeReportHook'), dict(type='EpochSeedHook')]
