#!/usr/bin/env bash
# Makes .venv from the lock of the newest stack that this machine can run (stack.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "make setup: $*" >&2
  exit 1
}

# What to type on this machine for these packages of Debian and Ubuntu; nothing on another one.
apt_hint() {
  ! command -v apt-get >/dev/null || echo " Here: sudo apt-get install $*"
}

chosen=$(requirements/stack.sh)
read -r stack python <<<"$chosen"
lock=requirements/tfx-$stack.txt

if [ "$stack" = 1.16 ] && [ -x "$python" ]; then
  # pyfarmhash has no wheel for Python 3.10.
  [ -n "$(type -P "${CXX:-c++}" g++ clang++)" ] ||
    fail "TFX 1.16 needs a C++ compiler, to build pyfarmhash.$(apt_hint g++)"
  "$python" -c 'import os, sysconfig; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null ||
    fail "TFX 1.16 needs the headers of $python, to build pyfarmhash.$(apt_hint python3.10-dev)"
fi

# pip only brings uv. Any Python will do, as uv makes the environment.
installer=
for candidate in "$python" $(type -aP python3 python); do
  if [ -x "$candidate" ] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
    installer=$candidate
    break
  fi
done
[ -n "$installer" ] || fail "No Python with venv was found on PATH.$(apt_hint python3-venv)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^uv==/ {found=1} found {print} found && !/\\$/ {exit}' "$lock" >"$work/uv.txt"
"$installer" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --require-hashes --requirement "$work/uv.txt"
uv=$work/venv/bin/uv

if [ ! -x "$python" ]; then
  echo "Downloading Python $python" >&2
  UV_PYTHON_INSTALL_DIR=$PWD/build/python "$uv" python install --quiet --no-bin "$python" ||
    fail "There is no Python for TFX $stack on PATH, among pyenv's versions or uv's, and uv could not download one." \
      "Install Python $python, or name one in INFRAVAL_PYTHON." \
      "$([ "$stack" = 1.16 ] || apt_hint python3-venv)"
  python=$(UV_PYTHON_INSTALL_DIR=$PWD/build/python "$uv" python find --managed-python "$python")
fi
echo "Setting up .venv with TFX $stack on $("$python" --version) (about a minute, 3 GB)" >&2
# A half-made environment must not pass for a whole one: the stamps are gone until the last step is done.
rm -rf .venv
"$uv" venv --quiet --python "$python" .venv
export VIRTUAL_ENV=$PWD/.venv
"$uv" pip sync --quiet --require-hashes "$lock"
"$uv" pip install --quiet --no-deps --editable .
touch .venv/complete ".venv/complete-$stack"
