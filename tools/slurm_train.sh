#!/usr/bin/env bash
# Train on a Slurm cluster: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py]
# Environment: GPUS (8) in total, GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS (""), STOP_BEFORE (120): seconds before
# the time limit at which the run saves and stops. It then goes on in a new allocation, until it is finished.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
WORK_DIR=$4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
STOPPED=75   # exit code of train.py: all is saved
RESUME=()
# A batch job that was queued again, after a stop or because a node failed.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
    RESUME=(--resume)
fi

# A signal to this script stops the run: srun passes SIGUSR1 on, but ends the job on others. The second ends it.
ASKED=
pass_on() {
    if [ -n "$ASKED" ]; then kill -TERM "$SRUN"; else kill -USR1 "$SRUN"; fi
    ASKED=yes
}
trap pass_on TERM INT USR1

while true; do
    # In a process group of its own, so that Ctrl-C reaches it through the trap only. The first process to end does not
    # have the others killed at once (--wait). SRUN_ARGS is unquoted on purpose: it holds several words.
    set -m
    srun -p "$PARTITION" \
        --job-name="$JOB_NAME" \
        --gres="gpu:$GPUS_PER_NODE" \
        --ntasks="$GPUS" \
        --ntasks-per-node="$GPUS_PER_NODE" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=0 \
        --wait=60 \
        --signal="USR1@${STOP_BEFORE:-120}" \
        ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$ROOT/tools/train.py" "$CONFIG" --work-dir "$WORK_DIR" --launcher slurm "${@:5}" \
        "${RESUME[@]}" < /dev/null &
    SRUN=$!
    set +m
    while true; do  # a trapped signal ends a wait
        CODE=0
        wait "$SRUN" || CODE=$?
        kill -0 "$SRUN" 2> /dev/null || break
    done
    if [ "$CODE" -ne "$STOPPED" ] || [ -n "$ASKED" ]; then
        exit "$CODE"
    fi
    if [ "${SLURM_JOB_ID:-}" ]; then
        echo "The run is saved; job $SLURM_JOB_ID is queued again."
        exec scontrol requeue "$SLURM_JOB_ID"
    fi
    echo 'The run is saved, and goes on in a new allocation.'
    RESUME=(--resume)
done
