#!/usr/bin/env bash
# Prints the path of a Python of the given version (3.10, say) with venv that is already somewhere on this machine.
set -euo pipefail

version=$1

is_it() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$version" \
    >/dev/null 2>&1
}

# pyenv puts shims on PATH that fail unless the version is selected, so each candidate is tried, not just looked up.
for candidate in \
  $(type -aP "python$version" python3 python 2>/dev/null) \
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/"python$version" \
  "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/cpython-"$version"*/bin/"python$version"; do
  if [ -x "$candidate" ] && is_it "$candidate"; then
    echo "$candidate"
    exit
  fi
done
echo "Found no Python $version with venv on PATH, in pyenv's versions or in uv's. Install one, for example with" \
  "'uv python install $version'." >&2
exit 1
