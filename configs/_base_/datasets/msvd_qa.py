# MSVD-QA (30,933 / 6,415 / 13,157 questions), 8 frames at 224 px, the 1,500 most frequent answers (docs/data.md):
#   data/msvd/{train_qa.json, val_qa.json, test_qa.json, youtube_mapping.txt, videos/mv89psg6zh4_33_46.avi, …}
_base_ = './msrvtt_qa.py'
data_root = 'data/msvd/'
mapping = 'youtube_mapping.txt'
train_dataloader = dict(dataset=dict(data_root=data_root, mapping=mapping))
val_dataloader = dict(dataset=dict(data_root=data_root, mapping=mapping))
test_dataloader = dict(dataset=dict(data_root=data_root, mapping=mapping))
