#!/usr/bin/env bash
# Makes an INSTALLER image (see the Dockerfiles) for a stack (1.21 by default): the local base image, a compiler if the
# stack needs one, and this machine's certificates and package index. Prints the image's name. What is built on it needs
# `docker build --network host`.
set -euo pipefail
cd "$(dirname "$0")/../.."

stack=${1:-1.21}
image=infraval/installer:$stack
PATH=/usr/bin:$PATH

tests/docker/base_image.sh "$stack"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp /etc/ssl/certs/ca-certificates.crt "$context"
# An index may be named with a password: it goes into a file, not into an argument.
index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
printf '[global]\n%s\n' "${index:+index-url = $index}" >"$context/pip.conf"
cat >"$context/Dockerfile" <<DOCKERFILE
FROM infraval/python:$stack
$([ "$stack" != 1.16 ] || echo 'RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++')
COPY ca-certificates.crt /etc/ssl/certs/
COPY pip.conf /etc/pip.conf
# Python looks for its headers where it was built; only 1.16 compiles something.
$([ "$stack" != 1.16 ] || echo 'ENV CPATH=/usr/local/include/python3.10')
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
DOCKERFILE
docker build --quiet --network host --tag "$image" "$context" >&2
echo "$image"
