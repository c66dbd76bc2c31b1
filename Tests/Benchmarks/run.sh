#!/bin/bash
# Benchmarks against what users would run instead. Never part of the tests: figures of a shared machine are compared
# within one run, as ratios.
#
#   Tests/Benchmarks/run.sh proxy [-o json] [--rounds N] [--seconds S]
#
# `proxy`: CPU time per request of Unstick (phase sticky, one event loop), HAProxy and nginx (one worker each, sticky
# cookies), before the same two backends, driven by wrk over 64 keep-alive connections, in turn, several rounds.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root"
what="${1:-}"
if [ "$what" != proxy ]; then
    echo "usage: Tests/Benchmarks/run.sh proxy [-o json] [--rounds N] [--seconds S]" >&2
    exit 2
fi
shift
bash Tests/install-packages.sh build benchmark >&2
swift build -c release --product unstick >&2
exec python3 Tests/Benchmarks/proxy.py --unstick "$root/.build/release/unstick" "$@"
