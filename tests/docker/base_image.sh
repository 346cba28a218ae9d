#!/usr/bin/env bash
# Makes a stand-in for the public image python:3.10-slim without a registry: this machine's Debian release from
# debootstrap, and this machine's Python 3.10 in /usr/local. It goes into the engine that DOCKER_HOST names.
# A copy stays in build/, so that the next engine has it in seconds, and with the same image id.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=infraval/python:3.10-slim-local
label=org.tfx-infraval.base
python=${INFRAVAL_PYTHON:-$(requirements/find_python.sh 3.10)}
# shellcheck disable=SC1091 # a file of every Debian
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
key=$({ cat "$0" && "$python" -VV && echo "$release"; } | sha256sum | cut -c1-16)
saved=build/base-image-$key.tar

# A root by `su` may be without them.
PATH=$PATH:/usr/sbin:/sbin

docker() {
  /usr/bin/docker "$@"
}

if [ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" = "$key" ]; then
  exit
fi

# One maker at a time; the second finds what the first has saved.
mkdir -p build
exec 9>build/base-image.lock
flock 9
if [ ! -e "$saved" ]; then
  echo "base_image.sh: building $image from Debian $release and $("$python" --version) (about a minute)" >&2
  if ! command -v debootstrap >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 debootstrap; } >&2
  fi
  work=$(mktemp -d)
  # Interrupted, debootstrap leaves /proc mounted there.
  trap 'umount --quiet "$work/root/proc" || true; rm -rf --one-file-system "$work"' EXIT
  root=$work/root
  # libpython3-stdlib stands for the shared libraries that a Python needs, whose names differ by release; the modules
  # that come with it are removed.
  if ! debootstrap --variant=minbase --include=ca-certificates,libpython3-stdlib,netbase,tzdata \
    "$release" "$root" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    exit 1
  fi
  rm -rf "$root"/usr/lib/python3* "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

  # Without what slim images leave out, and without what was installed into it here.
  prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
  tar --create --directory "$prefix" --exclude=__pycache__ --exclude='lib*.a' --exclude=./lib/python3.10/site-packages \
    --exclude=./lib/python3.10/test --exclude=./lib/python3.10/idlelib --exclude=./lib/python3.10/tkinter \
    --exclude='./lib/python3.10/config-*' ./lib ./bin/python3.10 | tar --extract --directory "$root/usr/local"
  mkdir -p "$root/usr/local/lib/python3.10/site-packages"
  ln -s python3.10 "$root/usr/local/bin/python3"
  ln -s python3.10 "$root/usr/local/bin/python"
  chown -R root:root "$root/usr/local"
  chroot "$root" ldconfig
  chroot "$root" /usr/local/bin/python3 -m ensurepip --default-pip >"$work/log" 2>&1

  tar --create --directory "$root" . | docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change "LABEL $label=$key" - "$image" >/dev/null
  # On the same file system: a move from another one may be interrupted half-way, and leave what cannot be loaded.
  docker save --output "$saved.partial" "$image"
  mv "$saved.partial" "$saved"
else
  docker load --quiet --input "$saved" >/dev/null
fi
