#!/bin/bash
# Installs the Debian packages of packages.txt that are missing. Usage: install-packages.sh USE…
# Does nothing, and needs no rights, when all are there.
set -euo pipefail

list="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/packages.txt"
[ $# -gt 0 ] || { echo "usage: install-packages.sh USE… (build, example, test, benchmark)" >&2; exit 2; }

wanted() {
    local name use why
    while read -r name use why; do
        case "$name" in "" | "#"*) continue ;; esac
        for asked in "$@"; do
            [ "$use" != "$asked" ] || echo "$name"
        done
    done <"$list"
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

if ! command -v dpkg-query >/dev/null; then
    echo "install-packages: no dpkg on this system; these are taken for installed:" $(wanted "$@") >&2
    exit 0
fi

missing=()
for name in $(wanted "$@"); do
    is_installed "$name" || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "install-packages: installing ${missing[*]}"
root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
        echo "install-packages: not root, and sudo is not to be had; please run" >&2
        echo "    apt-get install ${missing[*]}" >&2
        exit 1
    fi
    root=(sudo)
fi

apt() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# A new machine has no package lists, an old one may have lists whose versions are gone.
if ! apt install -y --no-install-recommends "${missing[@]}"; then
    echo "install-packages: trying again with new package lists"
    apt update
    apt install -y --no-install-recommends "${missing[@]}"
fi
