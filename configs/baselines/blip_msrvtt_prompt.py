# Prompts: 10 rows before every block of the vision tower (VPT) and 20 before the text, otherwise as UniAdapter's
# MSR-VTT recipe.
_base_ = '../uniadapter/blip_msrvtt.py'
model = dict(adapter=[dict(type='VPT', length=10), dict(type='PromptTuning', length=20)])
