# Sourced by tools/quickstart.sh retrieval: adapts the small BLIP that vlpeft brings to drawn clips in four ways.

# The name of each configuration and of its row in the table.
declare -A TITLES=([base]='base, zero-shot' [heads]='heads only' [lora]='LoRA' [uniadapter]='UniAdapter'
    [full]='full fine-tuning')

# run_one NAME: trains (the base is only tested) and tests.
run_one() {
    if [ "$1" = base ]; then
        mkdir -p "$WORK/base"
        echo 0 > "$WORK/base/seconds"
        test_one base none
    else
        train_one "$1"
        test_one "$1"
    fi
}

# run_each NAME...: one after the other, each line with the name before it.
run_each() {
    local name
    for name; do
        stage "$name" "${CODE[@]}" config:$CONFIGS/"$name".py -- run_one "$name" 2>&1 |
            sed -u "s/^/$(printf '%-16s' "${TITLES[$name]}") | /"
    done
}

heading 'Clips'
draw_data

heading 'Five ways, two at a time'
run_each uniadapter lora base &
SECOND=$!
trap 'kill $SECOND 2>/dev/null || true' EXIT
run_each full heads
wait $SECOND
trap - EXIT

RUNS=
for NAME in base heads lora uniadapter full; do
    RUN=$WORK/$NAME
    CHECKPOINT=null
    [ "$NAME" = base ] || CHECKPOINT="\"$RUN/$(cat "$RUN"/last_checkpoint)\""
    RUNS+="${RUNS:+, }{\"name\": \"${TITLES[$NAME]}\", \"metrics_file\": \"$RUN/result.json\","
    RUNS+=" \"config\": \"$CONFIGS/$NAME.py\", \"checkpoint\": $CHECKPOINT, \"seconds\": $(cat "$RUN"/seconds)}"
done

heading 'Summary and gallery'
echo "[$RUNS]" > $WORK/runs.json
$PY tools/quickstart/summarise.py $WORK/runs.json $WORK
$PY tools/quickstart/make_gallery.py $WORK/uniadapter/result.json $DATA/clips/test.jsonl $WORK/gallery.html \
    --title 'UniAdapter on the quickstart clips'

heading 'Done'
BEST=$WORK/uniadapter/$(cat $WORK/uniadapter/last_checkpoint)
cat <<END
table    $WORK/summary.md, $WORK/summary.json
gallery  $WORK/gallery.html: open it in a browser
reports  $WORK/<run>/report/index.html: figures with intervals, charts, worst and best queries
logs     $WORK/<run>/<time>/<time>.log

What to try next (first: source .venv/bin/activate):
  python tools/demo/search.py $CONFIGS/uniadapter.py $BEST \\
      $DATA/clips/videos 'a red circle slides sideways' --html $WORK/found.html
  python tools/train.py $CONFIGS/uniadapter.py --work-dir $WORK/narrow --cfg-options model.adapter.bottleneck=16
  bash tools/quickstart.sh --help
END
