#!/usr/bin/env bash
# Prints the path of a Python 3.10 with venv that is already somewhere on this machine.
set -euo pipefail

is_python_3_10() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))' >/dev/null 2>&1
}

if [ -n "${INFRAVAL_PYTHON:-}" ]; then
  echo "$INFRAVAL_PYTHON"
  exit
fi
# pyenv puts shims on PATH that fail unless the version is selected, so each candidate is tried, not just looked up.
for candidate in \
  $(type -aP python3.10 python3 python 2>/dev/null) \
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10*/bin/python3.10 \
  "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/cpython-3.10*/bin/python3.10; do
  if [ -x "$candidate" ] && is_python_3_10 "$candidate"; then
    echo "$candidate"
    exit
  fi
done
echo "No Python 3.10 with venv (TFX 1.16 has no wheels for a newer one) on PATH, in pyenv's versions or in uv's." \
  "Install one, for example with 'uv python install 3.10', or name one in INFRAVAL_PYTHON." >&2
exit 1
