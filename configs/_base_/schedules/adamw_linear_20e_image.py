# For the four image tasks at once: their main figures and the mean of them.
_base_ = './adamw_linear_20e.py'
main = dict(vqa='vqa/accuracy', gqa='gqa/label_score/accuracy', nlvr2='nlvr2/accuracy', caption='caption/CIDEr')
val_cfg = dict(type='MultiTaskValLoop', main=main)
test_cfg = dict(type='MultiTaskTestLoop', main=main)
