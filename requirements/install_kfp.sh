#!/usr/bin/env bash
# Makes .venv-kfp from requirements/kfp.lock.txt with a Python 3.11 that is already somewhere on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! python=${INFRAVAL_KFP_PYTHON:-$(requirements/find_python.sh 3.11)}; then
  echo "make setup-kfp needs a Python 3.11. Name one in INFRAVAL_KFP_PYTHON if it is elsewhere." >&2
  exit 1
fi

echo "Setting up .venv-kfp with $("$python" --version)" >&2
rm -rf .venv-kfp
"$python" -m venv --without-pip .venv-kfp
VIRTUAL_ENV=$PWD/.venv-kfp .venv/bin/uv pip sync --quiet --require-hashes requirements/kfp.lock.txt
touch .venv-kfp/complete
