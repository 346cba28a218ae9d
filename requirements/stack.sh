#!/usr/bin/env bash
# Prints the newest stack that this machine can run and the Python for it, as `1.21 /usr/bin/python3.13`; a version in
# place of the path if no such Python was found, and uv has to download one. Says on standard error why this stack.
#
# INFRAVAL_STACK   1.16 or 1.21: this stack.
# INFRAVAL_PYTHON  this Python, and the stack that it can run.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
  echo "make setup: $*" >&2
  exit 1
}

# The wheels of ml-metadata 1.21 and tensorflow-data-validation 1.21 are for this one and later.
needed=2.39
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc="an unknown C library"
read -r _ version <<<"$libc"
IFS=. read -r major minor <<<"$version"
newest_runs() { [[ $libc == glibc* ]] && ((major > 2 || (major == 2 && minor >= ${needed#2.}))); }

stack=${INFRAVAL_STACK:-}
case $stack in
  "" | 1.16 | 1.21) ;;
  *) fail "INFRAVAL_STACK must be 1.16 or 1.21, not $stack." ;;
esac

python=${INFRAVAL_PYTHON:-}
if [ -n "$python" ]; then
  found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail "INFRAVAL_PYTHON, $python, does not run."
  case $found in
    3.10) runs=1.16 ;;
    3.11 | 3.12 | 3.13) runs=1.21 ;;
    *) fail "INFRAVAL_PYTHON, $python, is Python $found. TFX needs 3.10 (TFX 1.16), or 3.11 to 3.13 (TFX 1.21)." ;;
  esac
  [ "${stack:-$runs}" = "$runs" ] ||
    fail "INFRAVAL_STACK is $stack, which does not run on INFRAVAL_PYTHON, a Python $found."
  stack=$runs
  why="the stack for INFRAVAL_PYTHON"
elif [ -n "$stack" ]; then
  why="INFRAVAL_STACK asks for it"
fi

if [ "$stack" != 1.16 ] && newest_runs; then
  python=${python:-$(./find_python.sh 3.13 3.12 3.11)} || python=
  if [ -n "$python" ]; then
    : "${why:=the newest stack, and this machine has $libc}"
  elif [ -z "$stack" ] && python=$(./find_python.sh 3.10); then
    stack=1.16
    why="TFX 1.21 needs Python 3.11 to 3.13, and there is none"
  fi
  stack=${stack:-1.21}
elif [ "$stack" = 1.21 ]; then
  fail "TFX 1.21 needs glibc $needed or later, as in Debian 13 or Ubuntu 24.04. This machine has $libc."
else
  stack=1.16
  python=${python:-$(./find_python.sh 3.10)} || python=
  : "${why:=TFX 1.21 needs glibc $needed or later, and this machine has $libc}"
fi
if [ -z "$python" ]; then
  case $stack in 1.21) python=3.13 ;; 1.16) python=3.10 ;; esac
  why="${why:+$why; }no Python for it was found here"
fi
echo "TFX $stack: $why" >&2
echo "$stack $python"
