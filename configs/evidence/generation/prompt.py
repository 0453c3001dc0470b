# Prompt tuning: 40 rows before the encoder's text, made by an MLP.
_base_ = './_tasks_.py'
model = dict(adapter=dict(type='PromptTuning', length=40, hidden=800, targets=dict(towers=['encoder'])))
