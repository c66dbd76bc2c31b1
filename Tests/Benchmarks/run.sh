#!/bin/bash
# Benchmarks against what users would run instead. Never part of the tests: figures of a shared machine are compared
# within one run, as ratios.
#
#   Tests/Benchmarks/run.sh proxy [-o json] [--rounds N] [--seconds S] [--scenario NAME…] [--pin] [--unstick FILE]
#
# `proxy`: CPU time per request, rate, latency and memory of Unstick (one event loop), HAProxy, nginx, Envoy and Caddy
# (one worker thread each, sticky cookies) before the same two backends, driven by wrk over 64 keep-alive connections,
# in turn, several rounds. Scenarios: small, 16k, 1m, upload, connect, tls, idle against the peers; mirror and read
# against Unstick's own phase sticky. `run.sh proxy --help` says more. Needs a few minutes at the default rounds.
#
# --unstick FILE measures that program instead of building this tree's.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cd "$root"
what="${1:-}"
if [ "$what" != proxy ]; then
    echo "usage: Tests/Benchmarks/run.sh proxy [-o json] [--rounds N] [--seconds S] [--scenario NAME…] [--pin]" \
        "[--unstick FILE]" >&2
    exit 2
fi
shift

build="$root/.build/benchmarks"
wants_build=yes
for argument in "$@"; do
    case "$argument" in
        --unstick | --unstick=*) wants_build= ;;
        # Says what there is, without installing anything.
        -h | --help) exec python3 "$here/proxy.py" --help ;;
    esac
done

bash Tests/install-packages.sh build benchmark >&2
mkdir -p "$build"
venv="$build/venv"
# Made anew when the wanted versions change.
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
if [ -n "$(find "$here/backend" -newer "$build/backend" 2>&1)" ]; then
    gcc -O2 -std=gnu11 -Wall -Wextra -Werror -o "$build/backend" "$here"/backend/*.c -lcrypto
fi
[ -z "$wants_build" ] || swift build -c release --product unstick >&2
exec python3 "$here/proxy.py" "$@"
