# blip_vqav2.py as released (docs/reproducing.md): cross-modal norms that stay frozen, drop-path in the frozen vision
# tower, label smoothing in the ranking score, and for inference='generate' the old scores of beams and no padding mask.
_base_ = './blip_vqav2.py'
model = dict(
    vision=dict(drop_path_rate=0.1),
    adapter=dict(train_cross_norm=False),
    score_smoothing=0.1,
    beam_rule='released',
    generate_with_padding=True,
)
test_evaluator = dict(out_file='work_dirs/uniadapter_blip_vqav2_released_submission.json')
