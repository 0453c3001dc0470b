# As seq2seq_runtime.py, for image-text-to-text models: every validation and test also writes its predictions.
_base_ = './seq2seq_runtime.py'
custom_hooks = [dict(type='FreezeReportHook'), dict(type='EpochSeedHook'), dict(type='PredictionsHook')]
default_hooks = dict(memory=dict(tokens=600, answer_tokens=16))
