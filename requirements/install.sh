#!/usr/bin/env bash
# Makes .venv from requirements/lock.txt with a Python 3.10 that is already somewhere on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

is_python_3_10() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))' >/dev/null 2>&1
}

# pyenv puts shims on PATH that fail unless the version is selected, so each candidate is tried, not just looked up.
find_python_3_10() {
  local candidate
  for candidate in \
    $(type -aP python3.10 python3 python 2>/dev/null) \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10*/bin/python3.10 \
    "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/cpython-3.10*/bin/python3.10; do
    if [ -x "$candidate" ] && is_python_3_10 "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

if ! python=${INFRAVAL_PYTHON:-$(find_python_3_10)}; then
  echo "make setup needs a Python 3.10 with venv (TFX 1.16 has no wheels for a newer one) and found none on PATH," \
    "in pyenv's versions or in uv's. Install one, for example with 'uv python install 3.10', or name one in" \
    "INFRAVAL_PYTHON." >&2
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
