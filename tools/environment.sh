# Sourced by run_tests.sh and quickstart.sh: ensure_environment EXTRA makes .venv if there is none and installs vlpeft with
# that extra (or none: '') into it, again only when the requirements change. PYTHON (python3) makes the environment.
ensure_environment() {
    local python=${PYTHON:-python3} stamp=.venv/.vlpeft${1:+-$1} wanted quiet=--quiet
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
    # One call, so that torch and torchvision come as a pair.
    .venv/bin/python -m pip install $quiet -e ".${1:+[$1]}"
    echo "$wanted" > "$stamp"
}
