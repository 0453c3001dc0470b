# As vl_bart.py, with 64 vision tokens per clip, from stored CLIP-ViT frames, for the four video tasks of VALUE.
_base_ = './vl_bart.py'
video_task = dict(max_text=600, max_target=20)
model = dict(
    feature_width=512,
    grid=8,
    tasks=dict(
        _delete_=True,
        tvqa=dict(**video_task, generation={{_base_.beam}}),
        how2qa=dict(**video_task, generation={{_base_.beam}}),
        tvc=dict(**video_task, output='pred_caption', generation={{_base_.beam}}),
        yc2c=dict(**video_task, output='pred_caption', generation={{_base_.beam}}),
    ),
)
