#!/usr/bin/env bash
# A Docker engine of the tests' own: Debian's dockerd on a private socket. It leaves the machine's other engines, its
# firewall rules and its routing alone, and several may run side by side, one a DIRECTORY.
set -euo pipefail

usage() {
  cat >&2 <<'END'
usage: engine.sh start [--hide PATH] [DIRECTORY]   starts the engine unless it runs; prints its base URL (DOCKER_HOST)
       engine.sh stop [DIRECTORY]                  removes its containers and ends it; images stay for the next start
       engine.sh url [DIRECTORY]                   prints the base URL, running or not

DIRECTORY  keeps images and the log; build/engine of this checkout by default. Its file system may not be an overlay.
--hide     gives the engine a mount namespace of its own, with an empty folder in place of PATH: what the engine's
           client writes there, the engine does not see, as with a remote engine. The network stays the machine's.
END
  exit 2
}

fail() {
  echo "engine.sh: $*" >&2
  exit 1
}

install_packages() {
  # /usr/bin/docker, not the first docker of PATH, is the client that comes with dockerd.
  if ! { command -v dockerd && command -v ip && [ -x /usr/bin/docker ] && [ -x /usr/bin/docker-compose ]; } >/dev/null; then
    command -v apt-get >/dev/null ||
      fail "there is no dockerd, ip or docker-compose here, and no apt-get to install them with."
    echo "engine.sh: installing docker.io, docker-compose and iproute2" >&2
    # Debian starts what it installs, unless this says no: one more engine, which nobody here would stop.
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
    fi
    # A new machine may be installing its updates.
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 docker.io docker-compose iproute2; } >&2
  fi
}

# Whether the process whose id is in file $1 is one of this engine's. The id of a dead engine may be another's by now.
owns() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$run/"
}

docker() {
  /usr/bin/docker --host "$url" "$@"
}

# A daemon that hangs takes the connection and never says a word.
answers() {
  timeout 10 /usr/bin/docker --host "$url" version >/dev/null 2>&1
}

# Waits until "$@" succeeds, up to 60 s.
await() {
  local deadline=$((SECONDS + 60))
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

is_ready_or_dead() {
  answers || ! kill -0 "$1" 2>/dev/null
}

# Whether this engine's dockerd runs. One that a signal has just killed is there for a moment longer.
runs() {
  owns "$run/dockerd.pid" || return 1
  await is_ready_or_gone || fail "the engine runs and does not answer; see $directory/dockerd.log."
  owns "$run/dockerd.pid"
}

is_ready_or_gone() {
  answers || ! owns "$run/dockerd.pid"
}

# Whether no dockerd, containerd or shim of a container is left; a shim's container goes first.
has_ended() {
  ! grep --quiet --no-messages --fixed-strings "$run/exec" /proc/[0-9]*/cmdline
}

unmount() {
  umount "$1" 2>/dev/null
}

# A killed engine leaves mounts of containers that no engine knows of. They may be busy for a moment: a process that ends
# loses its arguments, by which `has_ended` finds it, before it closes its files.
remove_mounts() {
  local mount
  # The kernel writes a space as \040.
  awk -v run="$run/" -v data="$directory/data/" '{ gsub(/\\040/, " ", $2) }
    index($2 "/", run) == 1 || index($2 "/", data) == 1 { print $2 }' /proc/self/mounts | sort --reverse |
    while IFS= read -r mount; do await unmount "$mount" || umount "$mount"; done
}

make_bridge() {
  # Two engines that start at once may not choose the same subnet.
  exec 8>/run/infraval-bridges.lock
  flock 8
  if ! ip link show "$bridge" >/dev/null 2>&1; then
    local number
    for number in $(seq 0 255); do
      [ -n "$(ip -4 route show table all | grep -F "10.213.$number.")" ] || break
    done
    ip link add "$bridge" type bridge
    ip address add "10.213.$number.1/24" dev "$bridge"
    ip link set "$bridge" up
    # Else dockerd gives the bridge the address of the last start, whoever has that by now.
    rm -rf "$directory/data/network"
  fi
  exec 8>&-
}

start() {
  if runs; then
    return
  fi
  # dockerd takes any process with such an id for its former self.
  rm -f "$run/dockerd.pid"
  owns "$run/exec/containerd/containerd.pid" || rm -f "$run/exec/containerd/containerd.pid"
  install_packages
  mkdir -p "$directory/data" "$run/data"
  make_bridge

  # No iptables and no forwarding: engines on one machine share the chain DOCKER and would rewrite each other's rules.
  # Published ports need neither, as docker-proxy carries them; containers cannot reach out, and an image that needs to
  # is built with `--network host`. The storage driver and the control groups (v1 or v2) are dockerd's own choice.
  local command=(dockerd --host "$url" --exec-root "$run/exec"
    --pidfile "$run/dockerd.pid" --bridge "$bridge" --iptables=false --ip6tables=false --ip-forward=false
    --ip-masq=false --userland-proxy=true)
  if [ -n "$hidden" ]; then
    # The mounts of a namespace end with its last process. $run/data: the directory itself may be below what is hidden.
    # shellcheck disable=SC2016 # the inner shell expands them
    command=(unshare --mount sh -ec 'mount --bind "$1" "$2"; mount -t tmpfs tmpfs "$3"; shift 3; exec "$@"' sh
      "$directory/data" "$run/data" "$hidden" "${command[@]}" --data-root "$run/data")
  else
    command+=(--data-root "$directory/data")
  fi
  # Descriptor 9 is this script's lock: it ends with the script, not with the engine.
  setsid "${command[@]}" >>"$directory/dockerd.log" 2>&1 </dev/null 9>&- &
  await is_ready_or_dead $! || true
  if ! answers; then
    kill "$!" 2>/dev/null || true
    tail -n 20 "$directory/dockerd.log" >&2
    fail "dockerd did not start; the end of $directory/dockerd.log is above."
  fi
}

stop() {
  if [ -e "$run" ]; then
    # What a killed engine left running, the same engine finds and ends when it starts again.
    has_ended || runs || start
    if runs; then
      docker ps --all --quiet | xargs --no-run-if-empty /usr/bin/docker --host "$url" rm --force --volumes >/dev/null
      kill "$(cat "$run/dockerd.pid")"
      await has_ended || fail "the engine does not end; see $directory/dockerd.log."
    fi
    remove_mounts
    rm -rf "$run"
  fi
  if ip link show "$bridge" >/dev/null 2>&1; then
    ip link delete "$bridge"
  fi
}

verb=${1:-}
shift || usage
hidden=
if [ "${1:-}" = --hide ]; then
  [ "$verb" = start ] && [ $# -ge 2 ] || usage
  hidden=$(realpath --canonicalize-existing "$2")
  shift 2
fi
[ $# -le 1 ] || usage
directory=$(realpath --canonicalize-missing "${1:-$(dirname "$0")/../../build/engine}")
# Sockets need short paths, so they are not in the directory; the name is as unique as the directory's.
name=$(printf %s "$directory" | sha256sum | cut -c1-8)
run=/run/infraval-engine-$name
bridge=infraval$(printf %s "$name" | cut -c1-7)
url=unix://$run/docker.sock
policy=/usr/sbin/policy-rc.d
# A root by `su` may be without them.
PATH=$PATH:/usr/sbin:/sbin

case $verb in
  url) echo "$url" ;;
  start | stop)
    [ "$(id -u)" = 0 ] || fail "a Docker engine needs root: run this as root, or with sudo."
    # One start or stop of an engine at a time.
    mkdir -p "$directory"
    exec 9>"$directory/lock"
    flock 9
    "$verb"
    [ "$verb" = stop ] || echo "$url"
    ;;
  *) usage ;;
esac
