# Sourced by tools/quickstart.sh: what its subjects share. Sets SEED, DATA, WORK, CONFIGS and PY (.venv's Python).
SEED=${QUICKSTART_SEED:-0}
DATA=data/quickstart
WORK=work_dirs/quickstart
CONFIGS=configs/quickstart
PY=.venv/bin/python
# At this size a second computing thread costs more than it brings; two runs at a time use two cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# Waiting threads that spin slow training down many times as soon as another program wants a core.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

heading() { printf '\n\033[1m== %s\033[0m (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

# fingerprint INPUT...: of the seed and of files, folders (their .py files) or configs (config:FILE, with all they
# inherit).
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

# stage NAME INPUT... -- COMMAND...: runs the command unless it ended before with the same seed and inputs.
stage() {
    local stamp=$WORK/.stages/$1 inputs=() wanted
    shift
    while [ "$1" != -- ]; do inputs+=("$1"); shift; done
    shift
    wanted=$(fingerprint "${inputs[@]}")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        echo 'unchanged, skipped'
        return
    fi
    "$@"
    mkdir -p "$(dirname "$stamp")"
    echo "$wanted" > "$stamp"
}

# What every run depends on besides its config.
CODE=(vlpeft tools/train.py tools/test.py $DATA/stamp.json)

draw_data() { $PY tools/quickstart/make_clips.py $DATA --seed "$SEED"; }

# train_one NAME: trains configs/quickstart/NAME.py from the start into its own folder and notes the seconds.
train_one() {
    rm -rf "${WORK:?}/$1"
    mkdir -p "$WORK/$1"
    local start=$SECONDS
    $PY tools/train.py $CONFIGS/"$1".py --work-dir $WORK/"$1" --cfg-options randomness.seed="$SEED"
    echo $((SECONDS - start)) > $WORK/"$1"/seconds
}

# test_one NAME [none]: tests the last checkpoint of a run, or with none its base alone; writes result.json.
test_one() {
    local run=$WORK/$1 checkpoint=${2:-}
    [ "$checkpoint" = none ] || checkpoint=$run/$(cat "$run"/last_checkpoint)
    $PY tools/test.py $CONFIGS/"$1".py "$checkpoint" --work-dir "$run" --out "$run"/result.json
}
