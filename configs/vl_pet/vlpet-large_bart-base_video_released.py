# vlpet-large_bart-base_video.py as released (docs/reproducing.md): subtitles before questions, AdamW of transformers
# 4.2, and an order of samples and tasks that does not follow the run's seed.
_base_ = [
    '../_base_/models/vl_bart_video.py',
    '../_base_/datasets/video_multitask_released.py',
    '../_base_/schedules/adamw_linear_20e_video.py',
    '../_base_/seq2seq_runtime.py',
]
model = dict(
    train_norms=['encoder'],
    adapter=dict(type='VLPET', granularity='large', bottleneck=96, heads=4, value_bottleneck=96),
)
train_dataloader = dict(sampler=dict(seed=0))
optim_wrapper = dict(optimizer=dict(type='HFAdamW'))
