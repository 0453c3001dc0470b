# MSRVTT-QA (158,581 / 12,278 / 72,821 questions), 8 frames at 224 px, the 1,500 most frequent answers (docs/data.md):
#   data/msrvtt/{train_qa.json, val_qa.json, test_qa.json, videos/video0.mp4, …}
_base_ = './jsonl_qa.py'
data_root = 'data/msrvtt/'
train_dataloader = dict(dataset=dict(type='VideoQA', data_root=data_root, ann_file='train_qa.json'))
val_dataloader = dict(
    dataset=dict(type='VideoQA', data_root=data_root, ann_file='val_qa.json', answers_from='train_qa.json')
)
test_dataloader = dict(
    dataset=dict(type='VideoQA', data_root=data_root, ann_file='test_qa.json', answers_from='train_qa.json')
)
