#!/usr/bin/env bash
# Prints the path of a Python of one of the given versions (3.13 3.12, say; the first is the best) that is already
# somewhere on this machine: on PATH, among pyenv's versions, or among uv's. Fails if there is none.
set -euo pipefail

is_it() {
  "$1" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$2" >/dev/null 2>&1
}

for version in "$@"; do
  # pyenv puts shims on PATH that fail unless the version is selected, so each candidate is tried, not just looked up.
  for candidate in \
    $(type -aP "python$version" python3 python 2>/dev/null) \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/"python$version" \
    "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/cpython-"$version"*/bin/"python$version"; do
    if [ -x "$candidate" ] && is_it "$candidate" "$version"; then
      echo "$candidate"
      exit
    fi
  done
done
exit 1
