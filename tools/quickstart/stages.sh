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

# test_one NAME [none]: tests the last checkpoint of a run, or with none its base alone; writes result.json and report/.
test_one() {
    local run=$WORK/$1 checkpoint=${2:-}
    [ "$checkpoint" = none ] || checkpoint=$run/$(cat "$run"/last_checkpoint)
    $PY tools/test.py $CONFIGS/"$1".py "$checkpoint" --work-dir "$run" --out "$run"/result.json \
        --report "$run"/report
}

# What captions and questions share: pictures, a language model from text alone, and runs that write.
PICTURES=$DATA/pictures
draw_pictures() { $PY tools/quickstart/make_stills.py $PICTURES --seed "$SEED"; }

# pretrain_lm SUBJECT NAME: the language model of configs/quickstart/_SUBJECT_.py, into a folder of that name.
pretrain_lm() {
    $PY tools/quickstart/pretrain_lm.py $CONFIGS/_"$1"_.py "$PICTURES/$1.txt" $WORK/"$2" --seed "$SEED"
}

write_one() { train_one "$1" && test_one "$1"; }

# write_each LM NAME...: trains and tests runs on a language model, one after the other, with their titles before lines.
write_each() {
    local lm=$1 name
    shift
    for name; do
        stage "$name" vlpeft tools/train.py tools/test.py config:$CONFIGS/"$name".py $WORK/.stages/"$lm" -- \
            write_one "$name" 2>&1 | sed -u "s/^/$(printf '%-22s' "${TITLES[$name]}") | /"
    done
}

# prepare_writing SUBJECT LM: pictures, texts and the language model.
prepare_writing() {
    heading 'Pictures and texts'
    stage pictures tools/quickstart/make_stills.py vlpeft/datasets/drawn -- draw_pictures
    heading 'A small language model, from text alone'
    stage "$2" tools/quickstart/pretrain_lm.py config:$CONFIGS/_"$1"_.py $WORK/.stages/pictures -- pretrain_lm "$1" "$2"
}

# compare_written SUBJECT TITLE NAME...: table and page of the runs.
compare_written() {
    local subject=$1 title=$2 name runs=
    shift 2
    for name; do
        runs+="${runs:+, }{\"name\": \"${TITLES[$name]}\", \"metrics_file\": \"$WORK/$name/result.json\","
        runs+=" \"config\": \"$CONFIGS/$name.py\", \"seconds\": $(cat "$WORK/$name"/seconds)}"
    done
    heading 'Table and page'
    mkdir -p $WORK/"$subject"
    echo "[$runs]" > $WORK/"$subject"/runs.json
    $PY tools/quickstart/make_answers.py $WORK/"$subject"/runs.json $WORK/"$subject" --title "$title"
    heading 'Done'
    cat <<END
table  $WORK/$subject/answers.md, $WORK/$subject/answers.json
page   $WORK/$subject/answers.html: open it in a browser
report $WORK/<run>/report/index.html: figures with intervals, charts, right and wrong ones
logs   $WORK/<run>/<time>/<time>.log

What to try next (first: source .venv/bin/activate):
END
}
