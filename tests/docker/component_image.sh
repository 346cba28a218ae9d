#!/usr/bin/env bash
# Builds infraval/component of a stack (1.21 by default) in the engine that DOCKER_HOST names, on the local base image.
set -euo pipefail
cd "$(dirname "$0")/../.."

stack=${1:-${STACK:-1.21}}
installer=$(tests/docker/installer_image.sh "$stack")
# The client that comes with the engine is the one to build with.
PATH=/usr/bin:$PATH make --no-print-directory kfp-image STACK="$stack" BASE=infraval/python:"$stack" \
  KFP_INSTALLER="$installer" BUILD_FLAGS="--network host" >&2
