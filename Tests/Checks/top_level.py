"""Checks that the project's top level has the agreed entries and no others. Usage: top_level.py ROOT"""

import subprocess
import sys

AGREED = {
    ".ci",
    ".gitignore",
    ".swift-format",
    "CHANGELOG.md",
    "Examples",
    "LICENSE",
    "Package.swift",
    "Playbooks",
    "README.md",
    "SECURITY.md",
    "Sources",
    "Tests",
}


def violations(paths):
    """One sentence for each entry that is too many or missing, given the paths of all files of the project."""
    found = {path.split("/", 1)[0] for path in paths}
    yield from (f"{name} is not an agreed entry of the top level" for name in sorted(found - AGREED))
    yield from (f"{name} is missing from the top level" for name in sorted(AGREED - found))


def main(root):
    # Ignored files (.build, Package.resolved) do not belong to the project; new ones that are not ignored do.
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    sentences = list(violations(path for path in listing.stdout.split("\0") if path))
    print("\n".join(sentences) or "the top level has the agreed entries")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
