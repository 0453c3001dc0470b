#!/usr/bin/env bash
# Run the tests: bash tools/run_tests.sh [arguments of pytest]
# Makes .venv if there is none, installs vlpeft with its test extra into it (again only when the requirements
# change), and leaves out the tests marked slow; run those with: bash tools/run_tests.sh -m slow
#   bash tools/run_tests.sh --quick            a first look, within three minutes on two cores
#   bash tools/run_tests.sh --transformers5 …  with transformers 5 instead of 4.57; alone, the tests that it affects
# Where no tests are chosen, those that it affects run with transformers 5 after all have run with 4.57.
# The tests are spread over up to 8 cores; VLPEFT_TEST_PROCESSES (auto) says over how many. PYTHON (python3) makes
# the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
AFFECTED=(tests/contract/test_vlm_contract.py tests/contract/test_vlm_edges.py tests/contract/test_answer_leaks.py
    tests/test_compat.py tests/chat tests/sites tests/adapters tests/adaptation tests/models tests/checkpoint)

# Whether arguments of pytest choose tests.
choose() {
    local argument
    for argument; do
        case "$argument" in
            -k* | -m* | --quick | --co | --collect-only | --lf | --last-failed | --deselect* | --ignore* | tests* | ./* | /*)
                return 0 ;;
        esac
    done
    return 1
}

# The tests of a file share what they build; tests/conftest.py says which files come first.
run() {
    .venv/bin/python -m pytest -m 'not slow' \
        -n "${VLPEFT_TEST_PROCESSES:-auto}" --maxprocesses 8 --dist loadfile --no-loadscope-reorder "$@"
}

run_with_5() {
    ensure_transformers5 || return
    echo 'With transformers 5:'
    PYTHONPATH=$PWD/$TRANSFORMERS5${PYTHONPATH:+:$PYTHONPATH} run "$@"
}

ensure_environment tests
# One thread a process: the processes share the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
CODE=0
if [ "${1:-}" = --transformers5 ]; then
    shift
    choose "$@" || set -- "$@" "${AFFECTED[@]}"
    run_with_5 "$@" || CODE=$?
else
    run "$@" || CODE=$?
    choose "$@" || run_with_5 "$@" "${AFFECTED[@]}" || CODE=$((CODE ? CODE : $?))
fi
exit "$CODE"
