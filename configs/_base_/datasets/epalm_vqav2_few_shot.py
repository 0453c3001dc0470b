# Few-shot VQA v2: 1 % of the training questions, drawn with seed 0 whatever the run's own seed; 0.12 % (512 questions)
# is fraction=512 / 443757, and lies within the 1 % of the same seed. seed='first' takes the first ones instead.
_base_ = './epalm_vqav2_standard.py'
train_dataloader = dict(dataset=dict(fraction=0.01, seed=0))
