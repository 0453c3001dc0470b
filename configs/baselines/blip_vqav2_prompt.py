# Prompts: 10 rows before every block of the vision tower (VPT) and 20 before the text, otherwise as UniAdapter's VQA v2
# recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(adapter=[dict(type='VPT', length=10), dict(type='PromptTuning', length=20)])
test_evaluator = dict(out_file='work_dirs/prompt_blip_vqav2_submission.json')
