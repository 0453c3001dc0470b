# Loaders of a single task for sequence-to-sequence models; <task>_single.py adds the sets.
train_dataloader = dict(
    num_workers=4,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
