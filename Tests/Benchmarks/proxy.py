"""Unstick against the proxies that users would run instead; see run.sh, which installs and builds what this needs.

Exit codes: 0 all scenarios were measured (or skipped with a reason), whether the goals are met or not; 1 some failed;
2 usage.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

import report
from measure import CONNECTIONS, Settings
from peers import Tools, system_program
from processes import BenchmarkError
from scenarios import SCENARIOS, Skipped

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.build")


def arguments():
    names = [each.name for each in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="run.sh proxy", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures Unstick against HAProxy, nginx, Envoy and Caddy.",
        epilog="scenarios:\n" + "\n".join(f"  {each.name:10}{each.title}" for each in SCENARIOS))
    parser.add_argument(
        "--unstick", metavar="FILE", default=os.path.join(BUILD, "release/unstick"),
        help="measure this program (default: build this tree's)")
    parser.add_argument("--rounds", type=int, default=5, help="of each scenario (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="of load in one round, per proxy (default 3)")
    parser.add_argument(
        "--scenario", nargs="+", action="extend", choices=names, metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--pin", action="store_true", help="the proxies alone on CPU 0, load and backends on the others")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds are whole numbers from 1 on")
    return options


def processors(pin):
    if not pin:
        return {}
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise BenchmarkError("--pin needs at least two CPUs")
    return {"proxy": {available[0]}, "load": set(available[1:])}


def environment(options, tools):
    """What somebody who compares two reports must know."""
    def version(command, pattern):
        run = subprocess.run(command, text=True, capture_output=True, check=False)
        found = re.search(pattern, run.stdout + run.stderr)
        if found is None:
            raise BenchmarkError(f"{command[0]} does not say its version: {(run.stdout + run.stderr)[:200]!r}")
        return found.group(1)

    number = r"(\d+\.\d+[.\w]*)"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    return {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "pinned": options.pin,
        "processor": model.group(1) if model else os.uname().machine,
        "processors": os.cpu_count(),
        "kernel": os.uname().release,
        "loadBefore": os.getloadavg()[0],
        "versions": {
            "unstick": version([tools.unstick, "--version"], r"(\S+)\s*$"),
            "haproxy": version([system_program("haproxy"), "-v"], number),
            "nginx": version([system_program("nginx"), "-v"], number),
            "envoy": version([tools.envoy, "--version"], r"version: \w+/([\d.]+)/"),
            "caddy": version([tools.program("caddy"), "version"], number),
        },
    }


def progress(text):
    print(text, file=sys.stderr, flush=True)


def main():
    options = arguments()
    # Ended from outside, this ends what it started, as after Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))
    tools = Tools(os.path.abspath(options.unstick), os.path.realpath(os.path.join(BUILD, "benchmarks")))
    wanted = [each for each in SCENARIOS if options.scenario is None or each.name in options.scenario]
    results, skipped, failed = [], {}, {}
    try:
        settings = Settings(options.rounds, options.seconds, processors(options.pin), progress)
        surroundings = environment(options, tools)
        with tempfile.TemporaryDirectory(prefix="unstick-benchmark-") as folder:
            for scenario in wanted:
                progress(f"{scenario.name}: {scenario.title}")
                try:
                    results.append(scenario.measure(tools, settings, os.path.join(folder, scenario.name)))
                except Skipped as reason:
                    skipped[scenario.name] = str(reason)
                except BenchmarkError as error:
                    # The others may still be measured; the run fails all the same.
                    failed[scenario.name] = str(error)
                    progress(f"  failed: {error}")
    except (BenchmarkError, OSError) as error:
        sys.exit(f"benchmark: {error}")
    surroundings["loadAfter"] = os.getloadavg()[0]
    if options.output == "json":
        print(json.dumps(report.as_json(results, skipped, failed, surroundings), indent=1))
    else:
        print(report.as_text(results, skipped, failed, surroundings))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
