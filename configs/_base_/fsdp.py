# Fully sharded training, to be added to a recipe's _base_: OPT-6.7B on 8 GPUs. Runs on MMEngine's FlexibleRunner.
# Computation and frozen weights are bfloat16, trained weights and sums of gradients float32; do not add --amp.
strategy = dict(
    type='FullyShardedStrategy',
    mixed_precision=dict(param_dtype='bfloat16', reduce_dtype='float32'),
    gradient_checkpointing=('lm',),
)
