# UniAdapter (r = 512, key/value adapters) on BLIP, VQA v2, 480 px, 8 GPUs x 16 images, as released: trained on train,
# val and Visual Genome, without validation; answers to the test questions are written for the server, they are not
# public.
_base_ = './blip_vqav2_val.py'
train_val_set = dict(type='VQAv2', data_root='data/coco/', ann_file='vqa_val.json', pipeline={{_base_.train_pipeline}})
train_dataloader = dict(dataset=dict(datasets=[{{_base_.train_set}}, train_val_set, {{_base_.visual_genome_set}}]))
val_dataloader = val_evaluator = val_cfg = None
default_hooks = dict(checkpoint=dict(save_best=None))
test_dataloader = dict(dataset=dict(ann_file='vqa_test.json'))
test_evaluator = dict(_delete_=True, type='VQASubmission', out_file='work_dirs/uniadapter_blip_vqav2_submission.json')
