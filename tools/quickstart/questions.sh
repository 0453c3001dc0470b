# Sourced by tools/quickstart.sh questions: a small OPT, trained on text alone, learns to answer from pictures in two
# ways, and from none.
declare -A TITLES=([questions_blind]='soft prompt only, blind' [questions_epalm]='eP-ALM'
    [questions_adapters]='eP-ALM with adapters')
prepare_writing questions opt

heading 'Three ways, two at a time'
write_each opt questions_adapters &
SECOND=$!
trap 'kill $SECOND 2>/dev/null || true' EXIT
write_each opt questions_epalm questions_blind
wait $SECOND
trap - EXIT

compare_written questions 'A small OPT answers questions about drawn pictures' questions_blind questions_epalm \
    questions_adapters
cat <<END
  python tools/train.py $CONFIGS/questions_epalm.py --work-dir $WORK/one --cfg-options model.adapter.prompt_length=1
  python tools/train.py configs/own_data/questions_epalm_opt-2.7b_vit-b.py    # your own pictures: docs/own_data.md
  bash tools/quickstart.sh captions
END
