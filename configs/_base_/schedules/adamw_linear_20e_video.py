# For the four video tasks at once: their main figures in validation and the mean of them.
_base_ = './adamw_linear_20e.py'
main = dict(
    tvqa='tvqa/open_ended/accuracy',
    how2qa='how2qa/open_ended/accuracy',
    tvc='tvc/caption/CIDEr',
    yc2c='yc2c/caption/CIDEr',
)
optim_wrapper = dict(optimizer=dict(lr=7e-4))
val_cfg = dict(type='MultiTaskValLoop', main=main)
test_cfg = dict(type='MultiTaskTestLoop')
