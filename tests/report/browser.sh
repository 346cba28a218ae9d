#!/usr/bin/env bash
# Installs what the tests of the page in a browser need: Debian's Chromium, if there is none (as root), and axe, which
# looks for what keeps people from reading a page, into build/axe.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  echo "browser.sh: $*" >&2
  exit 1
}

if ! command -v chromium >/dev/null; then
  command -v apt-get >/dev/null || fail "there is no chromium on PATH, and no apt-get to install it with."
  [ "$(id -u)" = 0 ] || fail "there is no chromium on PATH, and only root can install it: apt-get install chromium"
  echo "browser.sh: installing chromium" >&2
  # A new machine may be installing its updates.
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 chromium fonts-dejavu-core; } >&2
fi

# Without its dependencies: only the script that it carries is wanted.
lock=tests/report/axe.txt
if ! cmp -s "$lock" build/axe/lock; then
  rm -rf build/axe
  .venv/bin/uv pip install --quiet --no-deps --require-hashes --target build/axe --requirement "$lock"
  cp "$lock" build/axe/lock
fi
