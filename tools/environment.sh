# Sourced by run_tests.sh and quickstart.sh: ensure_environment EXTRA makes .venv if there is none and installs vlpeft with
# that extra (or none: '') into it, again only when the requirements change. PYTHON (python3) makes the environment.
ensure_environment() {
    local python=${PYTHON:-python3} stamp=.venv/.vlpeft${1:+-$1} wanted quiet=--quiet limits=()
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
        echo "Python 3.10 or newer is needed, $python is $("$python" --version 2>&1); set PYTHON=python3.x" >&2
        exit 2
    }
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    wanted=$(cat setup.py requirements/*.txt | sha256sum)
    # The test extra holds all that the package itself needs.
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] || { [ -z "$1" ] && [ "$(cat .venv/.vlpeft-tests 2>/dev/null)" = "$wanted" ]; }; then
        return
    fi
    echo 'Installing vlpeft and what it needs into .venv: some GB and minutes the first time'
    [ -t 1 ] && quiet=--progress-bar=on
    [ "$1" = tests ] && limits=(-c requirements/transformers4.txt)
    # One call, so that torch and torchvision come as a pair.
    .venv/bin/python -m pip install $quiet ${limits[@]+"${limits[@]}"} -e ".${1:+[$1]}"
    echo "$wanted" > "$stamp"
}

# ensure_transformers5 puts transformers 5 into a folder of the environment, where PYTHONPATH finds it before 4.57.
TRANSFORMERS5=.venv/transformers5
ensure_transformers5() {
    local list=requirements/transformers5.txt
    cmp -s "$list" "$TRANSFORMERS5/installed.txt" && return
    rm -rf "$TRANSFORMERS5"
    .venv/bin/python -m pip install --quiet --no-deps --target "$TRANSFORMERS5" -r "$list" &&
        cp "$list" "$TRANSFORMERS5/installed.txt"
}
