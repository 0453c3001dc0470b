default_scope = 'vlpeft'

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    schedule_check=dict(type='ScheduleCheckHook'),
    finite_guard=dict(type='FiniteGuardHook'),
    checkpoint=dict(
        type='AdapterCheckpointHook', interval=1, max_keep_ckpts=2, save_best='retrieval/mean_R@1', rule='greater'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    stop_on_signal=dict(type='StopOnSignalHook'),
)
custom_hooks = [dict(type='FreezeReportHook'), dict(type='EpochSeedHook'), dict(type='AlphaRampHook')]

env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=True)
log_level = 'INFO'

load_from = None
resume = False
randomness = dict(seed=42)
