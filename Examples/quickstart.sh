#!/bin/bash
# From a clean clone to the whole migration on the screen, with one command, from any folder:
#
#     Examples/quickstart.sh [OPTIONS OF unstick demo]
#
# Installs what is missing (Debian packages of Tests/packages.txt; Django and waitress in .build/venv), builds unstick,
# and runs `unstick demo`. Needs the Swift toolchain. What it starts listens on 127.0.0.1 only and ends with it.
# Exits 0 when nothing was lost, stale or resurrected.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.build/venv"
shop="$root/Examples/django-shop"

# On standard error: `-o json` prints one object on standard output, and nothing else may.
say() { printf '%s\n' "$*" >&2; }

if ! command -v swift >/dev/null; then
    say "quickstart: there is no swift in PATH; install a Swift 6.2 toolchain or newer first: https://swift.org/install"
    exit 2
fi

say "== 1/4  System packages (does nothing when they are there)"
bash "$root/Tests/install-packages.sh" build example >&2

say "== 2/4  Django and waitress, in .build/venv"
# Debian's own Python, because python3-venv belongs to it; another one may come first in PATH.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
is_there() {
    "$venv/bin/python" - "$shop/requirements.txt" 2>/dev/null <<'PYTHON'
import sys
from importlib.metadata import version

for line in open(sys.argv[1]):
    name, _, wanted = line.strip().partition("==")
    if name and version(name) != wanted:
        sys.exit(1)
PYTHON
}
if ! is_there; then
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$shop/requirements.txt" >&2
fi

say "== 3/4  Building unstick (the first time some minutes, on a small machine a quarter of an hour; then seconds)"
swift build --package-path "$root" --configuration release --product unstick >&2
unstick="$(swift build --package-path "$root" --configuration release --show-bin-path)/unstick"

say "== 4/4  The demonstration, about two minutes"
say
status=0
"$unstick" demo --python "$venv/bin/python" --shop "$shop" "$@" || status=$?

say
if [ $status -eq 0 ]; then
    say "Where to go next:"
    say "    Examples/quickstart.sh --pause --listen 127.0.0.1:8080 --admin 127.0.0.1:9090"
    say "        the same, chapter by chapter, with the shop and the status page in your browser"
    say "    README.md, \"Your own application\": bridge, configuration, and the first \`unstick mirror\`"
    say "    $unstick --help"
else
    say "The demonstration ended with exit code $status. With --keep its folder stays, with every log in it."
fi
exit $status
