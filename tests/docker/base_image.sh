#!/usr/bin/env bash
# Makes a stand-in for the public base image of a stack (1.21 by default) without a registry, infraval/python:STACK: a
# Debian from debootstrap, and a Python of this machine in /usr/local. It goes into the engine that DOCKER_HOST names.
# A copy stays in build/, so that the next engine has it in seconds, and with the same image id.
set -euo pipefail
cd "$(dirname "$0")/../.."

stack=${1:-1.21}
case $stack in
  1.21) release=trixie version=3.11 ;;
  1.16) release=bookworm version=3.10 ;;
esac
image=infraval/python:$stack
label=org.tfx-infraval.base
# Not Debian's own, which shares its folders with everything else.
python=$(PATH=/usr/local/bin "$BASH" requirements/find_python.sh "$version") || {
  echo "base_image.sh: found no Python $version on this machine." >&2
  exit 1
}
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
  lib=./lib/python$version
  tar --create --directory "$prefix" --exclude=__pycache__ --exclude='lib*.a' --exclude="$lib/site-packages" \
    --exclude="$lib/test" --exclude="$lib/idlelib" --exclude="$lib/tkinter" --exclude="$lib/config-*" \
    ./lib "./bin/python$version" "./include/python$version" | tar --extract --directory "$root/usr/local"
  mkdir -p "$root/usr/local/lib/python$version/site-packages"
  ln -s "python$version" "$root/usr/local/bin/python3"
  ln -s "python$version" "$root/usr/local/bin/python"
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
