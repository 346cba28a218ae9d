#!/usr/bin/env bash
# Builds infraval/model-server in the engine that DOCKER_HOST names, on the local base image.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/docker/base_image.sh
installer=$(tests/docker/installer_image.sh kubeflow/model-server/requirements.txt)
# The client that comes with the engine is the one to build with.
PATH=/usr/bin:$PATH make --no-print-directory image BASE=infraval/python:3.10-slim-local INSTALLER="$installer" >&2
