#!/usr/bin/env bash
# Run the tests: bash tools/run_tests.sh [arguments of pytest]
# Makes .venv if there is none, installs vlpeft with its test extra into it (again only when the requirements
# change), and leaves out the tests marked slow; run those with: bash tools/run_tests.sh -m slow
# PYTHON (python3) makes the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
ensure_environment tests
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
exec .venv/bin/python -m pytest -m 'not slow' "$@"
