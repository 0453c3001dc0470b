#!/usr/bin/env bash
# Run the tests: bash tools/run_tests.sh [arguments of pytest]
# Makes .venv if there is none, installs vlpeft with its test extra into it (again only when the requirements
# change), and leaves out the tests marked slow; run those with: bash tools/run_tests.sh -m slow
# The tests are spread over the cores; VLPEFT_TEST_PROCESSES (auto) says over how many. PYTHON (python3) makes the
# environment.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
ensure_environment tests
# One thread a process: the processes share the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest -m 'not slow' -n "${VLPEFT_TEST_PROCESSES:-auto}" --dist loadfile "$@"
