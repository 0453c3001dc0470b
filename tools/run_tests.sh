#!/usr/bin/env bash
# Run the tests: bash tools/run_tests.sh [arguments of pytest]
# Makes .venv if there is none, installs vlpeft with its test extra into it (again only when the requirements
# change), and leaves out the tests marked slow; run those with: bash tools/run_tests.sh -m slow
# PYTHON (python3) makes the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python 3.10 or newer is needed, $PYTHON is $("$PYTHON" --version 2>&1); set PYTHON=python3.x" >&2
    exit 2
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
STAMP=.venv/.vlpeft-tests
WANTED=$(cat setup.py requirements/*.txt | sha256sum)
if [ "$(cat $STAMP 2>/dev/null)" != "$WANTED" ]; then
    echo 'Installing vlpeft and what it needs into .venv: some GB and minutes the first time'
    QUIET=--quiet
    [ -t 1 ] && QUIET=--progress-bar=on
    # One call, so that torch and torchvision come as a pair.
    .venv/bin/python -m pip install $QUIET -e '.[tests]'
    echo "$WANTED" > $STAMP
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
exec .venv/bin/python -m pytest -m 'not slow' "$@"
