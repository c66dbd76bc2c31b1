#!/bin/sh
# Checks phases.pml: the protocol must hold in every interleaving, and each rule must be needed.
#   run.sh                     all of it
#   run.sh --trail NAME [-D…]  the shortest counterexample of a mutant (without its MUTANT_), step by step
set -u

case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd) || exit 1
for tool in spin gcc; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "run.sh: $tool not found; install the Debian packages: apt-get install spin gcc libc6-dev" >&2
        exit 1
    }
done
work=$(mktemp -d) || exit 1
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
cd "$work" || exit 1
cp "$here/phases.pml" . || exit 1

# $1: extra C flags; the rest: -D flags of the model. Leaves pan's output in ./out.
verify() {
    cflags=$1; shift
    rm -f pan pan.* out *.trail
    spin -a "$@" phases.pml >log 2>&1 && [ -f pan.c ] || { cat log >&2; return 1; }
    # shellcheck disable=SC2086  # several flags
    gcc -w -DSAFETY -DCOLLAPSE -DVECTORSZ=256 -DMEMLIM=1500 $cflags -o pan pan.c >log 2>&1 || { cat log >&2; return 1; }
    timeout 300 ./pan -m20000 -n -w22 >out 2>&1 &
    child=$!
    wait "$child"                # so that a signal is answered at once
    child=
    return 0
}
count() { awk '/states, stored/ { print $1; exit }' out; }
seconds() { awk '/elapsed time/ { print $4; exit }' out; }

if [ "${1:-}" = --trail ]; then
    [ $# -ge 2 ] || { echo "usage: run.sh --trail NAME [-D...]" >&2; exit 2; }
    name=$2; shift 2
    verify '-O1 -DBFS' "-DMUTANT_$name" "$@" || exit 1
    [ -f phases.pml.trail ] || { echo "no counterexample: MUTANT_$name $*" >&2; grep 'error\|states, stored' out >&2; exit 1; }
    spin -t -p -g -l "-DMUTANT_$name" "$@" phases.pml
    exit 0
fi

passed=0 failed=0
line() { printf '%-6s %-34s %-42s %9s states %5ss  %s\n' "$1" "$2" "$3" "$(count)" "$(seconds)" "$4"; }
pass() { passed=$((passed + 1)); line ok "$@"; }
fail() { failed=$((failed + 1)); line FAILED "$@"; }

# complete: nothing cut the search short
complete() {
    grep -q 'State-vector' out && grep -q 'elapsed time' out &&
        ! grep -Eiq 'max search depth too small|search not completed|out of memory|memory limit|vectorsz|truncated|aborting|hash conflict table|interrupted' out
}

holds() {
    if ! verify -O2 "$@"; then fail protocol "$*" 'does not build'
    elif ! complete; then fail protocol "$*" 'search not exhaustive'
    elif ! grep -q 'errors: 0$' out; then fail protocol "$*" "$(sed -n 's/^pan:1: //p' out)"
    else pass protocol "$*" 'holds, exhaustively'
    fi
}

# $1: mutant; the rest: the smallest bounds in which the rule shows. An error must be a failed assertion.
breaks() {
    name=$1; shift
    if ! verify -O0 "-DMUTANT_$name" "$@"; then fail "$name" "$*" 'does not build'
    elif grep -q '^pan:1: assertion violated' out; then
        case $(sed -n 's/^pan:1: //p' out) in
            *gone\|\|maygone*) pass "$name" "$*" 'caught: session lost' ;;
            *acked*)           pass "$name" "$*" 'caught: write lost or read stale' ;;
            *'!(gone)'*)       pass "$name" "$*" 'caught: logged-out session served' ;;
            *)                 fail "$name" "$*" 'unexpected assertion' ;;
        esac
    elif ! complete; then fail "$name" "$*" 'search not exhaustive'
    else fail "$name" "$*" 'no violation: is the rule needed?'
    fi
}

none='-DGENS=1 -DDEATHS=0 -DLOST=0'
death='-DGENS=1 -DDEATHS=1 -DLOST=0'
lost='-DGENS=1 -DDEATHS=0 -DLOST=1'
both='-DGENS=1 -DDEATHS=1 -DLOST=1'
twice='-DGENS=2 -DDEATHS=0 -DLOST=0'

holds -DWRITES=3
holds -DWRITES=2 -DDEATHS=2 -DLOST=0
# shellcheck disable=SC2086
{
    # the rules of the phases
    breaks SKIP_STEP $none -DLOGOUTS=0
    breaks NO_GRACE $none -DLOGOUTS=0
    breaks NO_REPATRIATION $none -DLOGOUTS=0
    breaks NO_HYDRATE_ON_MISSING $death -DLOGOUTS=0
    breaks NO_NEW_GENERATION $twice
    breaks NO_RECHECK $death -DLOGOUTS=0
    breaks NO_VERIFY $none -DLOGOUTS=0
    breaks FORGET_TOMBSTONE $none
    # what makes neighbours compatible
    breaks REHOME_DURING_REPATRIATION $none -DLOGOUTS=0
    breaks HYDRATE_IN_MIXED_MIRRORING $none
    breaks KEEP_ORPHANS $none
    breaks NO_BARRIER $none
    breaks REPAIR_IN_MIRRORING $none
    breaks BOOT_AS_EXTERNALIZED $none
    # what lost responses and deaths ask for
    breaks DEATH_BEFORE_COVERAGE $death -DLOGOUTS=0
    breaks READ_IS_NOT_MIRRORED $lost -DLOGOUTS=0
    breaks WANT_BY_VERSION $lost -DLOGOUTS=0
    breaks KEEP_STRAYS $twice
    breaks BACKFILL_AFTER_COVERAGE $both -DLOGOUTS=0
}
# a mutant that nobody runs proves nothing
for name in $(grep -o 'MUTANT_[A-Z_]*[A-Z]' phases.pml | sort -u); do
    grep -q "^ *breaks ${name#MUTANT_} " "$here/run.sh" || { echo "FAILED $name is in phases.pml, but not run"; failed=$((failed + 1)); }
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
