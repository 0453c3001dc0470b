# As epalm_8e.py with the wiring of the released question answering scripts, the soft prompt keeps its rate, and their
# float16. Where a device lacks that: --cfg-options optim_wrapper.dtype=bfloat16 model.lm_dtype=bfloat16
_base_ = './epalm_8e.py'
optim_wrapper = dict(
    type='MixedPrecisionOptimWrapper',
    dtype='float16',
    paramwise_cfg=dict(custom_keys=dict(prompt=dict(scheduled=False))),
)
val_cfg = dict(fp16=True)
test_cfg = dict(fp16=True)
