_base_ = ['../../../configs/_base_/default_runtime.py', '../../../configs/_base_/schedules/adamw_cosine_5e.py']
custom_imports = dict(imports=['toy_parts'])
model = dict(type='ToyRetriever')
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type='ToyQueries'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=3,
    num_workers=0,
    dataset=dict(type='ToyQueries'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='RetrievalMetric')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2)
val_cfg = dict(_delete_=True, type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')
optim_wrapper = dict(optimizer=dict(lr=0.2))
default_hooks = dict(checkpoint=dict(type='CheckpointHook'), logger=dict(interval=1))
custom_hooks = []
