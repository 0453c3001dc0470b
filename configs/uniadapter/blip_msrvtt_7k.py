# As blip_msrvtt.py on the 7k training split.
_base_ = './blip_msrvtt.py'
train_dataloader = dict(dataset=dict(split='train_7k'))
