# 20 keys and values before those of every self-attention of OPT-2.7B (prefix tuning), beside eP-ALM's connectors,
# through which it perceives, and without its soft prompt; otherwise as eP-ALM.
_base_ = '../epalm/epalm-linear_opt-2.7b_vit-b_vqav2.py'
model = dict(adapter=[{{_base_.model.adapter}}, dict(type='PrefixTuning', length=20, targets=dict(towers=['lm']))])
