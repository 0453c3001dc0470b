# MSR-VTT retrieval, 9k training clips / 1k-A test pairs, from the CLIP4Clip layout (docs/data.md):
#   data/msrvtt/{MSRVTT_data.json, MSRVTT_train.9k.csv, MSRVTT_JSFUSION_test.csv, videos/video0.mp4, …}
# JSON lines instead: dataset=dict(ann_file='train.jsonl', split=None).
_base_ = './jsonl_retrieval.py'
data_root = 'data/msrvtt/'
train_dataloader = dict(
    dataset=dict(type='MSRVTTRetrieval', data_root=data_root, ann_file='MSRVTT_data.json', split='train_9k')
)
val_dataloader = dict(
    dataset=dict(type='MSRVTTRetrieval', data_root=data_root, ann_file='MSRVTT_data.json', split='test_1ka')
)
test_dataloader = val_dataloader
