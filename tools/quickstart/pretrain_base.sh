#!/usr/bin/env bash
# Makes the base that vlpeft brings, `blip_tiny`, again: bash tools/quickstart/pretrain_base.sh
# Draws 24,000 stills (20 s), trains configs/quickstart/pretrain_stills.py from random weights (about 30 minutes on one
# idle core), and writes the weights in half precision to work_dirs/pretrain_base. Started again after an interruption
# it goes on from the newest checkpoint. SEED (0) seeds stills and weights. What to paste into
# configs/base_checkpoints.yml is printed last.
set -euo pipefail
cd "$(dirname "$0")/../.."
SEED=${SEED:-0}
PY=${PY:-.venv/bin/python}
CONFIG=configs/quickstart/pretrain_stills.py
WORK=work_dirs/pretrain_base
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

$PY tools/quickstart/make_clips.py data/pretrain_base --stills 24000 --train 4 --val 2 --test 2 --seed "$SEED"
$PY tools/train.py $CONFIG --work-dir $WORK --resume --cfg-options randomness.seed="$SEED"
$PY tools/test.py $CONFIG "$WORK/$(cat $WORK/last_checkpoint)" --work-dir $WORK --out $WORK/result.json
$PY tools/model_converters/publish_model.py "$WORK/$(cat $WORK/last_checkpoint)" $WORK/blip_tiny.safetensors \
    --config $CONFIG --half
