#!/usr/bin/env bash
# Builds what a kit's compose file needs besides the model server, in the engine that DOCKER_HOST names, on the local base
# image: infraval/prometheus, Debian's Prometheus behind the contract of prom/prometheus, and infraval/grafana-stand-in,
# which only lists the folder that a kit gives Grafana, as Debian has no Grafana.
set -euo pipefail
cd "$(dirname "$0")/../.."

PATH=/usr/bin:$PATH

tests/docker/base_image.sh
docker build --quiet --network host --tag infraval/prometheus - >&2 <<'DOCKERFILE'
FROM infraval/python:1.21
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus && \
    rm -rf /var/lib/apt/lists/* && \
    mkdir /prometheus && chown nobody:nogroup /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
DOCKERFILE
docker build --quiet --tag infraval/grafana-stand-in - >&2 <<'DOCKERFILE'
FROM infraval/python:1.21
USER nobody
WORKDIR /dashboards
ENTRYPOINT ["python3", "-m", "http.server", "3000"]
DOCKERFILE
