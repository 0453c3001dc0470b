# Sourced by tools/quickstart.sh captions: a small BART, trained on text alone, learns to describe pictures in three ways.
declare -A TITLES=([captions_projection]='visual projection only' [captions_vlpet]='VL-PET'
    [captions_full]='full fine-tuning')
prepare_writing captions bart

heading 'Three ways, two at a time'
write_each bart captions_full &
SECOND=$!
trap 'kill $SECOND 2>/dev/null || true' EXIT
write_each bart captions_vlpet captions_projection
wait $SECOND
trap - EXIT

compare_written captions 'A small BART describes drawn pictures' captions_projection captions_vlpet captions_full
cat <<END
  python tools/train.py $CONFIGS/captions_vlpet.py --work-dir $WORK/small --cfg-options model.adapter.granularity=small
  python tools/train.py configs/own_data/captions_vlpet-large_bart-base.py    # your own pictures: docs/own_data.md
  bash tools/quickstart.sh questions
END
