# VQA v2 on Karpathy's splits (605,102 / 26,729 / 26,280 questions) as conversations for ImageTextLM, from VL-T5's files
# and the images (docs/data.md). The request for a short answer is LLaVA-1.5's.
#   data/epalm/vqa/{karpathy_train.json, karpathy_val.json, karpathy_test.json, v2_mscoco_val2014_annotations.json}
#   data/epalm/COCO/images/{train2014,val2014}/COCO_val2014_000000000042.jpg …
_base_ = './chat_loaders.py'
pipeline = [
    dict(type='ToChat', prompt='{question}\nAnswer the question using a single word or phrase.'),
    dict(type='PackChat', task='vqa'),
]
vqav2 = dict(type='VQAv2', data_root='data/epalm/', data_prefix=dict(media='COCO/images'), pipeline=pipeline)
vqav2_tested = dict(vqav2, annotations='vqa/v2_mscoco_val2014_annotations.json', test_mode=True)
train_dataloader = dict(batch_size=8, dataset=dict(vqav2, ann_file='vqa/karpathy_train.json'))
val_dataloader = dict(batch_size=32, dataset=dict(vqav2_tested, ann_file='vqa/karpathy_val.json'))
test_dataloader = dict(batch_size=32, dataset=dict(vqav2_tested, ann_file='vqa/karpathy_test.json'))
val_evaluator = dict(type='VQAMetric')
test_evaluator = val_evaluator
