#!/usr/bin/env bash
# Makes .venv from requirements/lock.txt with a Python 3.10 that is already somewhere on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! python=${INFRAVAL_PYTHON:-$(requirements/find_python.sh 3.10)}; then
  echo "make setup needs a Python 3.10 (TFX 1.16 has no wheels for a newer one). Name one in INFRAVAL_PYTHON if it is" \
    "elsewhere." >&2
  exit 1
fi

echo "Setting up .venv with $("$python" --version) (about a minute, 3 GB)" >&2
# A half-made environment must not pass for a whole one: the stamp is gone until the last step is done.
rm -rf .venv
"$python" -m venv .venv
uv_requirement=$(awk '/^uv==/ {found=1} found {print} found && !/\\$/ {exit}' requirements/lock.txt)
echo "$uv_requirement" > .venv/uv-requirement.txt
.venv/bin/python -m pip install --quiet --require-hashes --requirement .venv/uv-requirement.txt
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --require-hashes requirements/lock.txt
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps --editable .
touch .venv/complete
