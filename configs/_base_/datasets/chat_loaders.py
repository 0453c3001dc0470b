# Loaders of conversations for ImageTextLM; batch sizes and sets come from the data or the recipe.
train_dataloader = dict(
    num_workers=4,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='vlpeft.collate_chat'),
)
val_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='vlpeft.collate_chat'),
)
test_dataloader = val_dataloader
