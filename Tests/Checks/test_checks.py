import import_graph
import pytest
import top_level
from import_graph import Target


def breaches(*targets):
    return list(import_graph.violations({target.name: target for target in targets}))


@pytest.mark.parametrize(
    "line",
    [
        "import HTTPWire",
        "public import HTTPWire",
        "package import struct HTTPWire.Head",
        "@testable import HTTPWire",
        "@preconcurrency public import HTTPWire",
        "@_spi(Testing) import HTTPWire",
        "    internal import HTTPWire",
    ],
)
def test_every_spelling_of_an_import_is_read(line):
    assert list(import_graph.imports("// import Other\n" + line + "\n")) == [(2, "HTTPWire")]


def test_an_agreed_graph_has_no_breach():
    core = Target("UnstickCore")
    proxy = Target("UnstickProxy", ["UnstickCore"], {"UnstickCore": "a.swift:1"})
    driver = Target("SQLiteSessionStore", ["UnstickCore"])
    whole = Target("unstick", ["UnstickProxy", "UnstickCoordinator", "SQLiteSessionStore"])
    assert breaches(core, proxy, driver, whole, Target("UnstickCoordinator")) == []


def test_an_undeclared_import_is_a_breach():
    proxy = Target("UnstickProxy", [], {"UnstickCore": "a.swift:3"})
    assert breaches(proxy, Target("UnstickCore")) == [
        "a.swift:3: UnstickProxy imports UnstickCore, which Package.swift does not declare for it"
    ]


@pytest.mark.parametrize("name", ["UnstickCore", "HTTPWire"])
def test_the_pure_targets_import_nothing_of_ours(name):
    assert "imports nothing of ours" in breaches(Target(name, ["ControlAPI"], {"ControlAPI": "a.swift:1"}))[0]
    assert "imports nothing of ours" in breaches(Target(name, ["ControlAPI"]))[0]


@pytest.mark.parametrize(
    ("plane", "other"),
    [
        (plane, other)
        for plane in sorted(import_graph.PLANES)
        for other in sorted((import_graph.PLANES | import_graph.DRIVERS) - {plane})
    ],
)
def test_a_plane_depends_on_neither_the_other_nor_a_driver(plane, other):
    assert breaches(Target(plane, [other]), Target(other))
    through = Target("ControlAPI", [other])
    assert any("directly or not" in each for each in breaches(Target(plane, ["ControlAPI"]), through, Target(other)))


def test_only_the_command_line_composes():
    planes = [Target("UnstickProxy"), Target("UnstickCoordinator")]
    both = ["UnstickProxy", "UnstickCoordinator"]
    assert breaches(Target("ControlAPI", both), *planes)
    assert breaches(Target("ControlAPI", ["SQLiteSessionStore"]), Target("SQLiteSessionStore"))
    assert not breaches(Target("ControlAPITests", both, is_test=True), *planes)


def test_the_top_level_is_agreed():
    whole = [name + "/file" for name in top_level.AGREED]
    assert list(top_level.violations(whole)) == []
    assert list(top_level.violations(whole + ["notes.txt"])) == ["notes.txt is not an agreed entry of the top level"]
    assert list(top_level.violations([])) == [f"{n} is missing from the top level" for n in sorted(top_level.AGREED)]
