# As default_runtime.py, for question answering.
_base_ = './default_runtime.py'
default_hooks = dict(checkpoint=dict(save_best='auto'))
custom_hooks = [dict(type='FreezeReportHook'), dict(type='EpochSeedHook'), dict(type='AnswerListHook')]
