#!/usr/bin/env bash
# Builds infraval/component in the engine that DOCKER_HOST names, on the local base image and with packages fetched by
# this machine's own pip configuration.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=kubeflow/requirements.txt
python=${INFRAVAL_PYTHON:-$(requirements/find_python.sh 3.10)}
key=$({ cat "$0" "$requirements" && "$python" -VV; } | sha256sum | cut -c1-16)
installer=infraval/component-installer:$key
packages=build/component-packages-$key
# The client that comes with the engine is the one to build with.
PATH=/usr/bin:$PATH

tests/docker/base_image.sh
if ! docker image inspect "$installer" >/dev/null 2>&1; then
  mkdir -p build
  exec 9>build/component-packages.lock
  flock 9
  if [ ! -e "$packages" ]; then
    echo "component_image.sh: fetching the packages of $requirements (1 GB)" >&2
    rm -rf "$packages.partial"
    "$python" -m pip download --quiet --no-deps --require-hashes --requirement "$requirements" \
      --dest "$packages.partial/packages" >&2
    # Some come as sources; these are what pip builds with.
    "$python" -m pip download --quiet --no-deps --dest "$packages.partial/packages" setuptools wheel >&2
    cp -r "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" "$packages.partial/include"
    mv "$packages.partial" "$packages"
  fi
  docker build --quiet --network host --file - --tag "$installer" "$packages" >&2 <<'DOCKERFILE'
FROM infraval/python:3.10-slim-local
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY include /usr/local/include/python3.10
# Python looks for its headers where it was built.
ENV CPATH=/usr/local/include/python3.10
COPY packages /packages-index
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/packages-index PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
DOCKERFILE
fi
make --no-print-directory kfp-image BASE=infraval/python:3.10-slim-local KFP_INSTALLER="$installer" >&2
