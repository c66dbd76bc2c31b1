#!/bin/sh
# Runs the generators of hostile messages for longer than a test run does.
#
#     Tests/Fuzz/run.sh [CASES] [SEED]      default 4 000 000 cases, seed 1; about five minutes
#
# The same numbers try the same cases. A failure names seed and case.
set -eu
cd "$(dirname "$0")/../.."
export UNSTICK_FUZZ_CASES="${1:-4000000}" UNSTICK_FUZZ_SEED="${2:-1}"
swift build --build-tests
exec swift test --skip-build --filter '(ForwardingFuzzTests|DifferentialTests)'
