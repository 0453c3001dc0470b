#!/usr/bin/env bash
# Builds the pages of docs/ as a site: bash tools/build_docs.sh, then open docs/_build/html/index.html.
# A warning, such as a link that leads nowhere, is an error. Options are those of sphinx-build: -E builds all pages anew.
# Makes .venv if there is none and installs the docs extra into it.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
ensure_environment docs
exec .venv/bin/python -m sphinx -q --fail-on-warning --keep-going -c docs -d docs/_build/doctrees "$@" . docs/_build/html
