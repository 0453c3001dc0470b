# Own conversations with images for ImageTextLM, in any of the layouts that docs/tasks/adapt_qwen_vl.md lists; paths of
# media are relative to data_root.
#   data/own/{train.jsonl, test.jsonl, …}
#   {"messages": [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": "A cat."}],
#    "images": ["cat.jpg"]}
_base_ = './chat_loaders.py'
pipeline = [dict(type='PackChat', task='chat')]
own = dict(type='JSONLChat', data_root='data/own/', pipeline=pipeline)
train_dataloader = dict(batch_size=4, dataset=dict(own, ann_file='train.jsonl'))
val_dataloader = dict(batch_size=8, dataset=dict(own, ann_file='test.jsonl', test_mode=True))
test_dataloader = val_dataloader
# Share of the answers that are right to the letter, upper case aside, and how near the others are.
val_evaluator = [dict(type='OpenEndedMetric'), dict(type='ANLSMetric')]
test_evaluator = val_evaluator
