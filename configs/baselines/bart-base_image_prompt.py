# Prompt tuning of BART-base, four image tasks at once: 40 rows before the encoder's text, made by an MLP.
_base_ = [
    '../_base_/models/vl_bart.py',
    '../_base_/datasets/image_multitask.py',
    '../_base_/schedules/adamw_linear_20e_image.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(adapter=dict(type='PromptTuning', length=40, hidden=800, targets=dict(towers=['encoder'])))
