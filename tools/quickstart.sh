#!/usr/bin/env bash
# From nothing to a result in five minutes on two cores (after installing): bash tools/quickstart.sh [SUBJECT]
#   retrieval   the default: adapts a small BLIP to drawn clips in four ways and compares them in one table
#   captions    a small BART learns to describe drawn pictures (VL-PET), beside its projection alone and all weights
#   questions   a small OPT learns to answer questions about them (eP-ALM), beside connectors alone and a blind one
# Makes .venv and installs vlpeft, draws the data, trains, tests, and writes a page. A stage whose inputs have not
# changed since it ended is skipped. QUICKSTART_SEED (0) seeds data and training; PYTHON (python3) makes .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

SUBJECTS=$(cd tools/quickstart && ls -- *.sh | grep -vx -e stages.sh -e pretrain_base.sh | sed 's/\.sh$//' | xargs)
SUBJECT=${1-retrieval}
if [ "$SUBJECT" = --help ] || [ "$SUBJECT" = -h ]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' tools/quickstart.sh
    exit 0
fi
if [ $# -gt 1 ] || ! [[ " $SUBJECTS " == *" $SUBJECT "* ]]; then
    echo "tools/quickstart.sh: '$*' is not one of: ${SUBJECTS// /, }" >&2
    exit 2
fi

. tools/quickstart/stages.sh
heading 'Environment'
. tools/environment.sh
# The scores of captions are an extra.
ensure_environment "$([ "$SUBJECT" != captions ] || echo captions)"
SECONDS=0
. "tools/quickstart/$SUBJECT.sh"
