#!/usr/bin/env bash
# Check style and consistency: bash tools/check_style.sh
# Likely errors, import order and format (ruff), spelling (codespell), parts of Python that 3.10 lacks (vermin), the
# zoo's metafiles, and that the installed packages fit together (pip check). All of them run; the exit code is 1 if one
# failed. Makes .venv if there is none and installs the test extra and requirements/style.txt into it.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
ensure_environment tests
ensure_environment style
FAILED=()

# gate NAME COMMAND...: runs the command, and says how it ended and how long it took.
gate() {
    local name=$1 start=$SECONDS verdict=passed
    shift
    "$@" || { verdict=FAILED && FAILED+=("$name"); }
    printf '%-10s %s in %d s\n' "$name" "$verdict" "$((SECONDS - start))"
}

gate lint .venv/bin/python -m ruff check --quiet .
gate format .venv/bin/python -m ruff format --check --quiet .
gate spelling .venv/bin/python -m codespell_lib
gate python310 .venv/bin/vermin -q --no-tips --violations --target=3.10- vlpeft tools
gate metafiles .venv/bin/python tools/misc/check_metafiles.py
gate packages .venv/bin/python -m pip check
if [ ${#FAILED[@]} -gt 0 ]; then
    echo "Failed: ${FAILED[*]} (CONTRIBUTING.md says how to mend them)"
    exit 1
fi
