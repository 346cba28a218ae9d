#!/usr/bin/env bash
# Runs a command with the tests' engine started and the images built, and ends the engine on any exit.
set -euo pipefail
cd "$(dirname "$0")/../.."

# First, for a start may fail or be interrupted half-way. The second engine is the tests' own, who cannot end it when a
# signal ends them; whatever comes of that, the other one is ended too. A second signal does not keep it from that: make
# hands on the one that its whole process group has had.
trap 'trap "" HUP INT TERM; tests/docker/engine.sh stop build/second-engine || true; tests/docker/engine.sh stop' EXIT
trap 'trap "" HUP INT TERM; exit 129' HUP
trap 'trap "" HUP INT TERM; exit 130' INT
trap 'trap "" HUP INT TERM; exit 143' TERM
export INFRAVAL_TEST_ENGINE
INFRAVAL_TEST_ENGINE=$(tests/docker/engine.sh start)
DOCKER_HOST=$INFRAVAL_TEST_ENGINE tests/docker/images.sh
"$@"
