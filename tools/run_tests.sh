#!/usr/bin/env bash
# Run the tests: bash tools/run_tests.sh [arguments of pytest]
# Makes .venv if there is none, installs vlpeft with its test extra into it (again only when the requirements
# change), and leaves out the tests marked slow; run those with: bash tools/run_tests.sh -m slow
#   bash tools/run_tests.sh --quick    a first look, within three minutes on two cores
# The tests are spread over up to 8 cores; VLPEFT_TEST_PROCESSES (auto) says over how many. PYTHON (python3) makes
# the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
ensure_environment tests
# One thread a process: the processes share the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# The tests of a file share what they build; tests/conftest.py says which files come first.
exec .venv/bin/python -m pytest -m 'not slow' \
    -n "${VLPEFT_TEST_PROCESSES:-auto}" --maxprocesses 8 --dist loadfile --no-loadscope-reorder "$@"
