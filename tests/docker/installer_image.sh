#!/usr/bin/env bash
# Makes an INSTALLER image (see kubeflow/model-server/Dockerfile) for a locked requirements file: the local base image
# and the file's wheels, fetched with this machine's own pip configuration. Prints the image's name.
set -euo pipefail
requirements=$(realpath "$1")
cd "$(dirname "$0")/../.."

key=$(cat "$requirements" "$0" | sha256sum | cut -c1-16)
image=infraval/installer:$key
wheels=build/wheels-$key
python=${INFRAVAL_PYTHON:-$(requirements/find_python.sh 3.10)}

docker() {
  /usr/bin/docker "$@"
}

mkdir -p build
exec 9>build/wheels.lock
flock 9
if [ ! -e "$wheels" ]; then
  echo "installer_image.sh: fetching the wheels of $1" >&2
  rm -rf "$wheels.partial"
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --requirement "$requirements" \
    --dest "$wheels.partial" >&2
  mv "$wheels.partial" "$wheels"
fi
docker build --quiet --file - --tag "$image" "$wheels" >&2 <<'DOCKERFILE'
FROM infraval/python:3.10-slim-local
COPY . /wheels
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
DOCKERFILE
echo "$image"
