#!/bin/bash
# Runs every check and test of the project, from any folder, on a Debian 12 machine with the Swift toolchain.
#
# Installs what it needs (packages.txt, and Python packages in .build/venv), prints a heading and the time of each
# stage, keeps their output in .build/test-logs, and ends with one line: N passed, N failed. The number counts Swift
# tests, Python tests and models; a check that fails counts as one failure. Exits 0 only with 0 failed.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
logs="$root/.build/test-logs"
venv="$root/.build/venv"
mkdir -p "$logs"

passed=0
failed=0
group=""
log=""

stop_group() {
    [ -n "$group" ] || return 0
    kill -TERM -- "-$group" 2>/dev/null || true
    # A second for those that end in order.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 -- "-$group" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null || true
    group=""
}
trap stop_group EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# stage TITLE SECONDS COMMAND…: runs the command with a deadline in a process group of its own, so that nothing it
# starts outlives it. Its output goes to $log and here. The result is the command's; 124 when the time was up.
stage() {
    local title="$1" limit="$2" status=0 start tail
    shift 2
    start=$SECONDS
    log="$logs/$(tr -cs 'a-zA-Z0-9' '-' <<<"$title" | tr 'A-Z' 'a-z' | sed 's/-$//').log"
    printf '\n== %s\n' "$title"
    : >"$log"
    # `timeout` makes itself the leader of a new process group.
    timeout --kill-after=10 "$limit" "$@" </dev/null >"$log" 2>&1 &
    group=$!
    # Not a pipe: a process left behind would keep it open, and the stage would never end.
    tail -n +1 -s 0.2 --pid="$group" -f "$log" &
    tail=$!
    wait "$group" || status=$?
    wait "$tail" || true
    if command -v pgrep >/dev/null && pgrep -g "$group" >/dev/null; then
        echo "-- left behind, now stopped:"
        ps -o pid=,args= -p "$(pgrep -g "$group" -d ,)" || true
    fi
    stop_group
    case $status in
        0) printf -- '-- %s: %d s\n' "$title" $((SECONDS - start)) ;;
        124 | 137) printf -- '-- %s: FAILED, not done within %d s\n' "$title" "$limit" ;;
        *) printf -- '-- %s: FAILED (exit %d) after %d s\n' "$title" "$status" $((SECONDS - start)) ;;
    esac
    return $status
}

finish() {
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
    exit
}

# check TITLE SECONDS COMMAND…: a stage that counts only when it fails.
check() {
    stage "$@" || failed=$((failed + 1))
}

# need TITLE SECONDS COMMAND…: a stage without which nothing else makes sense.
need() {
    stage "$@" || { failed=$((failed + 1)); finish; }
}

# count STATUS PASSED FAILED: adds a runner's numbers. A runner that failed without saying how often, or ran no test,
# counts as one failure.
count() {
    local status="$1" good="${2:-0}" bad="${3:-0}"
    if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; }; then bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
}

# number PATTERN: the number before a word in the last line of the log that has it; 0 when there is none.
number() {
    { grep -oE "[0-9]+ $1" "$log" || true; } | tail -n 1 | { grep -oE '^[0-9]+' || echo 0; }
}

install_python() {
    local requirements=(
        Sources/Bridges/python/requirements-test.txt
        Examples/django-shop/requirements.txt
        Examples/flask-notes/requirements.txt
        Tests/UnstickTelemetryTests/requirements.txt
    )
    local python=/usr/bin/python3 stamp site
    # Debian's own, because python3-venv belongs to it; another one may come first in PATH.
    [ -x "$python" ] || python=python3
    stamp="$("$python" --version) $(cat "${requirements[@]}" | cksum)"
    if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "${requirements[@]/#/--requirement=}"
        # The bridge itself, as it stands in the tree.
        site="$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')"
        echo "$root/Sources/Bridges/python/src" >"$site/unstick-bridge.pth"
        echo "$stamp" >"$venv/stamp"
    fi
    "$venv/bin/python" -c 'import unstick_bridge, django, flask, waitress, opentelemetry.proto; print("Python packages are there")'
}

python_tests() {
    local status=0
    stage "$1" "$2" "${@:3}" || status=$?
    count $status "$(number passed)" $(($(number failed) + $(number 'errors?')))
}

model_check() {
    local status=0
    stage "Model check" 1800 bash Tests/Model/run.sh || status=$?
    if grep -qE '^[0-9]+ passed, [0-9]+ failed$' "$log"; then
        count $status "$(number passed)" "$(number failed)"
    else
        count $status $((status == 0 ? 1 : 0)) 0
    fi
}

# swift_tests TITLE SECONDS OPTION…
swift_tests() {
    local title="$1" limit="$2" status=0 total bad
    shift 2
    stage "$title" "$limit" swift test --skip-build --disable-xctest "$@" || status=$?
    total="$(sed -nE 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')"
    bad="$(grep -cE '^[^ ]+ +Test .* failed after .* issues?' "$log" || true)"
    bad=$((bad - $(grep -cE 'Test run with .* failed after' "$log" || true)))
    count $status $((total - bad)) "$bad"
}

export -f install_python
export root venv

need "System packages" 900 bash Tests/install-packages.sh build example test
need "Python packages" 900 bash -euo pipefail -c install_python
# The integration tests start the example applications with it.
export UNSTICK_PYTHON="$venv/bin/python"

check "Format" 300 swift format lint --strict --recursive Sources Tests Package.swift
check "Top level" 60 "$venv/bin/python" Tests/Checks/top_level.py "$root"
check "Import graph" 300 "$venv/bin/python" Tests/Checks/import_graph.py "$root"

built=yes
stage "Build" 3000 swift build --build-tests --explicit-target-dependency-import-check error || {
    built=no
    failed=$((failed + 1))
}

python_tests "Checks of the checks" 300 "$venv/bin/python" -m pytest -p no:cacheprovider Tests/Checks \
    Tests/Benchmarks
python_tests "Python bridge" 900 "$venv/bin/python" -m pytest -p no:cacheprovider --rootdir Sources/Bridges/python \
    -c Sources/Bridges/python/pyproject.toml Sources/Bridges/python/tests
model_check
if [ $built = yes ]; then
    # The coordinator's tests bring a clock of their own and run in parallel. The others one at a time: hundreds of
    # servers and clients at once on two cores would miss deadlines that are no fault of theirs.
    swift_tests "Coordinator tests" 900 --filter '^UnstickCoordinatorTests\.'
    swift_tests "Swift tests" 3000 --no-parallel --skip '^UnstickCoordinatorTests\.'
else
    printf '\n== Swift tests\n-- Swift tests: not run, the build failed\n'
fi
finish
