#!/usr/bin/env bash
# From nothing to a table in about ten minutes on two cores (after installing): bash tools/quickstart.sh
# Makes .venv and installs vlpeft, generates captioned stills and clips, pre-trains a small BLIP on the stills, adapts
# it to the clips in four ways, and compares them. A stage whose inputs have not changed since it ended is skipped.
# QUICKSTART_SEED (0) seeds data and training; PYTHON (python3) makes the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
SEED=${QUICKSTART_SEED:-0}
DATA=data/quickstart
WORK=work_dirs/quickstart
CONFIGS=configs/quickstart
PY=.venv/bin/python
# One core computes, the other decodes: at this size a second computing thread costs more than it brings.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# Waiting threads that spin slow training down many times as soon as another program wants a core.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

heading() { printf '\n\033[1m== %s\033[0m (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

# done_already STAGE INPUT...: whether the stage ended with the same seed and inputs: files, folders (their .py files)
# or configs (config:FILE, with all they inherit). Sets STAMP and WANTED for finish.
done_already() {
    STAMP=$WORK/.stages/$1
    WANTED=$(fingerprint "${@:2}")
    [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ] && echo 'unchanged, skipped'
}
fingerprint() {
    local input
    {
        echo "$SEED"
        for input; do
            case $input in
                config:*) $PY tools/misc/print_config.py "${input#config:}" ;;
                *) find "$input" -type f \( -path "$input" -o -name '*.py' \) | LC_ALL=C sort | xargs cat ;;
            esac
        done
    } | sha256sum
}
finish() { mkdir -p "$(dirname "$STAMP")" && echo "$WANTED" > "$STAMP"; }

heading 'Environment'
. tools/environment.sh
ensure_environment ''
SECONDS=0

heading 'Stills and clips'
$PY tools/quickstart/make_clips.py $DATA --seed "$SEED"

heading 'Vocabulary'
if ! done_already vocab $DATA/stamp.json tools/quickstart/build_vocab.py; then
    $PY tools/quickstart/build_vocab.py $DATA/vocab $DATA/stills/*.jsonl $DATA/clips/*.jsonl
    finish
fi

# train_one NAME: trains configs/quickstart/NAME.py from the start into its own folder and notes the seconds.
train_one() {
    rm -rf "${WORK:?}/$1"
    mkdir -p "$WORK/$1"
    local start=$SECONDS
    $PY tools/train.py $CONFIGS/"$1".py --work-dir $WORK/"$1" --cfg-options randomness.seed="$SEED"
    echo $((SECONDS - start)) > $WORK/"$1"/seconds
}

CODE=(vlpeft tools/train.py $DATA/stamp.json $WORK/.stages/vocab)

heading 'Pre-training a small BLIP on the stills'
BASE=$WORK/base.pth
if ! done_already pretrain "${CODE[@]}" config:$CONFIGS/pretrain_stills.py || [ ! -f $BASE ]; then
    train_one pretrain_stills
    cp "$WORK/pretrain_stills/$(cat $WORK/pretrain_stills/last_checkpoint)" $BASE
    finish
fi

# The name of each configuration and of its row in the table.
declare -A TITLES=([base]='base, zero-shot' [heads]='heads only' [lora]='LoRA' [uniadapter]='UniAdapter'
    [full]='full fine-tuning')
RUNS=
for NAME in base heads lora uniadapter full; do
    heading "${TITLES[$NAME]}"
    RUN=$WORK/$NAME
    if ! done_already "$NAME" "${CODE[@]}" config:$CONFIGS/$NAME.py $WORK/.stages/pretrain tools/test.py; then
        mkdir -p "$RUN"
        $PY tools/analysis_tools/count_params.py $CONFIGS/$NAME.py --json > "$RUN".json &
        if [ "$NAME" = base ]; then
            echo 0 > "$RUN"/seconds
            CHECKPOINT=none
        else
            train_one "$NAME"
            CHECKPOINT=$RUN/$(cat "$RUN"/last_checkpoint)
        fi
        $PY tools/test.py $CONFIGS/$NAME.py "$CHECKPOINT" --work-dir "$RUN" --out "$RUN"/result.json
        wait $!
        mv "$RUN".json "$RUN"/counts.json
        finish
    fi
    CHECKPOINT=null
    [ "$NAME" = base ] || CHECKPOINT="\"$RUN/$(cat "$RUN"/last_checkpoint)\""
    RUNS+="${RUNS:+, }{\"name\": \"${TITLES[$NAME]}\", \"metrics_file\": \"$RUN/result.json\","
    RUNS+=" \"count_file\": \"$RUN/counts.json\", \"checkpoint\": $CHECKPOINT, \"seconds\": $(cat "$RUN"/seconds)}"
done

heading 'Summary and gallery'
echo "[$RUNS]" > $WORK/runs.json
$PY tools/quickstart/summarise.py $WORK/runs.json $WORK
$PY tools/quickstart/make_gallery.py $WORK/uniadapter/result.json $DATA/clips/test.jsonl $WORK/gallery.html \
    --title 'UniAdapter on the quickstart clips'
echo "table:   $WORK/summary.md, $WORK/summary.json"
heading 'Done'
