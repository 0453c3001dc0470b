# Sourced by tools/quickstart.sh retrieval: adapts the small BLIP that vlpeft brings to drawn clips in four ways.

# The name of each configuration and of its row in the table.
declare -A TITLES=([base]='base, zero-shot' [heads]='heads only' [lora]='LoRA' [uniadapter]='UniAdapter'
    [full]='full fine-tuning')

# run_one NAME: trains (the base is only tested), tests and counts.
run_one() {
    if [ "$1" = base ]; then
        mkdir -p "$WORK/base"
        echo 0 > "$WORK/base/seconds"
        test_one base none
    else
        train_one "$1"
        test_one "$1"
    fi
    $PY tools/analysis_tools/count_params.py $CONFIGS/"$1".py --json > "$WORK/$1/counts.json"
}

heading 'Stills and clips'
draw_data

RUNS=
for NAME in base heads lora uniadapter full; do
    heading "${TITLES[$NAME]}"
    stage "$NAME" "${CODE[@]}" config:$CONFIGS/"$NAME".py -- run_one "$NAME"
    RUN=$WORK/$NAME
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
