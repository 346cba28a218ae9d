#!/usr/bin/env bash
# Runs a command at the root of this checkout with the newest stack: `tests/newest.sh make test`. On a machine that cannot
# run that stack, it does so in a Debian 13 that debootstrap makes (a minute, 0.5 GB, as root), with Debian's Python 3.13,
# make and g++, and a copy of the checkout. Packages come from uv's cache on this machine, or go there.
#
# The root and its .venv stay in build/newest for the next time. Mounts and processes are in namespaces of their own, so
# that nothing is left of either, whatever ends this script.
set -euo pipefail
cd "$(dirname "$0")/.."

export INFRAVAL_STACK=1.21
if requirements/stack.sh >/dev/null 2>&1; then
  exec "$@"
fi

fail() {
  echo "newest.sh: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail "this machine cannot run TFX 1.21, and a root to run it in can only be made as root."
# A root by `su` may be without them.
PATH=$PATH:/usr/sbin:/sbin
packages=ca-certificates,g++,make,python3.13,python3.13-venv
key=$(cat "$0" | sha256sum | cut -c1-16)
root=$PWD/build/newest/$key
temp=$(realpath "${TMPDIR:-/tmp}")
cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}

mkdir -p build/newest "$cache"
exec 9>build/newest/lock
flock 9
if [ ! -e "$root" ]; then
  echo "newest.sh: making a Debian 13 in build/newest (about a minute)" >&2
  command -v debootstrap >/dev/null || {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 debootstrap
  } >&2
  # Interrupted, debootstrap may leave what it mounted; in this namespace it does not.
  rm -rf --one-file-system "$root.partial"
  unshare --mount debootstrap --variant=minbase --include="$packages" trixie "$root.partial" >build/newest/log 2>&1 || {
    tail -n 20 build/newest/log >&2
    fail "debootstrap failed; its last lines are above."
  }
  mkdir "$root.partial/infraval"
  mv "$root.partial" "$root"
fi

# What make has made there stays; the rest is this checkout's.
find "$root/infraval" -mindepth 1 -maxdepth 1 ! -name .venv ! -name demo -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from - --ignore-failed-read 2>/dev/null |
  tar --extract --directory "$root/infraval"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$root$temp" "$root/root/.cache/uv"

# shellcheck disable=SC2016 # the inner shell expands them
exec unshare --mount --pid --fork --kill-child sh -ec '
  root=$1 temp=$2 cache=$3
  shift 3
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  mount -t proc proc "$root/proc"
  mount --bind "$temp" "$root$temp"
  mount --bind "$cache" "$root/root/.cache/uv"
  # uv says so if it has to copy from another mount, which is so here.
  exec chroot "$root" env HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy \
    sh -c "cd /infraval; exec \"\$@\"" sh "$@"
' sh "$root" "$temp" "$cache" "$@"
