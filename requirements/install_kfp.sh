#!/usr/bin/env bash
# Makes .venv-kfp from requirements/kfp.txt with a Python that is already somewhere on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! python=${INFRAVAL_KFP_PYTHON:-$(requirements/find_python.sh 3.13 3.12 3.11)}; then
  echo "make setup-kfp needs a Python 3.11, 3.12 or 3.13. Install one, for example with 'uv python install 3.13', or name" \
    "one in INFRAVAL_KFP_PYTHON." >&2
  exit 1
fi

echo "Setting up .venv-kfp with $("$python" --version)" >&2
rm -rf .venv-kfp
.venv/bin/uv venv --quiet --python "$python" .venv-kfp
VIRTUAL_ENV=$PWD/.venv-kfp .venv/bin/uv pip sync --quiet --require-hashes requirements/kfp.txt
touch .venv-kfp/complete
