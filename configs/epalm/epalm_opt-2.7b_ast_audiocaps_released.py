# epalm_opt-2.7b_ast_audiocaps.py as released (docs/reproducing.md): 4 GPUs x 8 captions. Sounds keep the rate of their
# file, whatever it is.
_base_ = './epalm_opt-2.7b_ast_audiocaps.py'
model = {{_base_.released}}
load = dict(type='LoadAudio', sample_rate=None)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
optim_wrapper = {{_base_.released_captions}}
val_cfg = test_cfg = dict(fp16=True)
