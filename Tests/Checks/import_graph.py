"""Checks the `import` lines of every Swift target against the project's import graph.

Usage: import_graph.py ROOT        (asks `swift package dump-package` for the targets)

Rules:
  declared      a module of ours is imported only where Package.swift declares it: SwiftPM builds an undeclared import
                of a sibling as long as somebody else builds that sibling first
  pure          UnstickCore and HTTPWire import nothing of ours
  apart         UnstickProxy and UnstickCoordinator import neither each other nor a store driver, directly or not
  composed      only `unstick` and tests import a store driver, or both planes
"""

import json
import pathlib
import re
import subprocess
import sys

PURE = {"UnstickCore", "HTTPWire"}
PLANES = {"UnstickProxy", "UnstickCoordinator"}
DRIVERS = {"MemorySessionStore", "SQLiteSessionStore"}
COMPOSER = "unstick"

IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+"
    r"(?:(?:struct|class|enum|protocol|func|var|let|typealias|actor)\s+)?(\w+)"
)


class Target:
    """A target: its declared dependencies of ours, and the modules of ours that its files import."""

    def __init__(self, name, declared=(), imported=None, is_test=False):
        self.name = name
        self.declared = set(declared)
        self.imported = imported or {}
        self.is_test = is_test


def imports(source):
    """The modules that a Swift source imports, with line numbers from 1."""
    for number, line in enumerate(source.splitlines(), 1):
        match = IMPORT.match(line)
        if match:
            yield number, match.group(1)


def reachable(name, targets):
    """Everything of ours that a target depends on, directly or not."""
    found, pending = set(), [name]
    while pending:
        target = targets.get(pending.pop())
        edges = (target.declared | set(target.imported)) if target else set()
        pending.extend(edges - found)
        found |= edges
    return found


def violations(targets):
    """One sentence for each breach, naming the place of an import where there is one."""
    for target in sorted(targets.values(), key=lambda each: each.name):
        for module, place in sorted(target.imported.items()):
            if module != target.name and module not in target.declared:
                yield f"{place}: {target.name} imports {module}, which Package.swift does not declare for it"
        if target.name in PURE:
            for module in sorted(target.declared | set(target.imported)):
                place = place_of(target, module)
                yield f"{place}: {target.name} must not depend on {module} (it imports nothing of ours)"
        if target.name in PLANES:
            for module in sorted(reachable(target.name, targets) & ((PLANES | DRIVERS) - {target.name})):
                yield f"{place_of(target, module)}: {target.name} must not depend on {module}, directly or not"
        elif target.name != COMPOSER and not target.is_test:
            depends = reachable(target.name, targets)
            for module in sorted(depends & (DRIVERS - {target.name})):
                place = place_of(target, module)
                yield f"{place}: only {COMPOSER} may depend on the driver {module}, not {target.name}"
            if PLANES <= depends:
                yield f"Package.swift: only {COMPOSER} may depend on both planes, not {target.name}"


def place_of(target, module):
    return target.imported.get(module, "Package.swift")


def read_targets(root):
    manifest = subprocess.run(
        ["swift", "package", "--package-path", str(root), "dump-package"], check=True, capture_output=True, text=True
    )
    described = {target["name"]: target for target in json.loads(manifest.stdout)["targets"]}
    targets = {}
    for name, target in described.items():
        declared = {
            entry[kind][0]
            for entry in target["dependencies"]
            for kind in ("byName", "target")
            if kind in entry and entry[kind][0] in described
        }
        is_test = target["type"] == "test"
        folder = root / (target.get("path") or f"{'Tests' if is_test else 'Sources'}/{name}")
        if not folder.is_dir():
            raise SystemExit(f"Package.swift: {name} has no folder {folder.relative_to(root)}")
        imported = {}
        for file in sorted(folder.rglob("*.swift")):
            for line, module in imports(file.read_text(encoding="utf-8")):
                if module in described and module != name:
                    imported.setdefault(module, f"{file.relative_to(root)}:{line}")
        # The drivers' contract suite is a plain target so that drivers elsewhere can use it; it is a test all the same.
        targets[name] = Target(name, declared, imported, is_test or folder.is_relative_to(root / "Tests"))
    return targets


def main(root):
    targets = read_targets(pathlib.Path(root).resolve())
    unknown = (PURE | PLANES | DRIVERS | {COMPOSER}) - targets.keys()
    sentences = [f"import_graph.py: there is no target {name} for its rules" for name in sorted(unknown)]
    sentences += violations(targets)
    print("\n".join(sentences) or f"{len(targets)} targets import as agreed")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
