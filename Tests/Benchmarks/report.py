"""What the figures say: medians, ratios round by round, goals; as text of 100 columns and as JSON."""

import statistics
import textwrap

SCHEMA = "unstick.benchmark.proxy/v2"
WIDTH = 100


def _goal(scenario, metric, subject, references, limit, text):
    return {"scenario": scenario, "metric": metric, "subject": subject, "references": references, "limit": limit,
            "text": text}


#: Each is the median over the rounds of subject / best of references, and at most the limit.
GOALS = [
    _goal("small", "cpuMicroseconds", "unstick", ["haproxy"], 0.95, "small GET: CPU against HAProxy"),
    _goal("small", "cpuMicroseconds", "unstick", ["nginx"], 0.95, "small GET: CPU against nginx"),
    _goal("small", "cpuMicroseconds", "unstick", ["envoy"], 0.45, "small GET: CPU against Envoy"),
    _goal("small", "p99Milliseconds", "unstick", ["haproxy", "nginx"], 1.0,
          "small GET: p99 against the better of HAProxy and nginx"),
    _goal("1m", "cpuMicroseconds", "unstick", ["haproxy"], 1.1, "1 MiB responses: CPU against HAProxy"),
    _goal("read", "cpuMicroseconds", "externalized-memory", ["sticky"], 1.5,
          "externalized read, memory store: CPU against own sticky"),
    # "Below": the smallest excess is too much.
    _goal("idle", "bytesPerConnection", "unstick", ["haproxy"], 0.999, "idle connection: memory against HAProxy"),
]


def ratios(rounds, subject, references, metric):
    """Round by round, subject against the lowest of the references."""
    result = []
    for number, figures in enumerate(rounds[subject]):
        best = min(rounds[name][number][metric] for name in references)
        result.append(figures[metric] / best if best > 0 else float("inf"))
    return result


def medians(result):
    return {
        name: {key: statistics.median(each[key] for each in entries) for key in entries[0]}
        | {"peakKiB": result.peak_kib[name]}
        for name, entries in result.rounds.items()}


def _compared(result):
    """Metrics whose ratios are shown, with their titles."""
    if result.name == "idle":
        return {"bytesPerConnection": "memory"}
    return {"cpuMicroseconds": "CPU", "requestsPerSecond": "rate", "p99Milliseconds": "p99"}


def judged(results):
    """The goals whose scenarios were measured, with what was reached."""
    by_name = {each.name: each for each in results}
    verdicts = []
    for goal in GOALS:
        result = by_name.get(goal["scenario"])
        if result is None:
            continue
        reached = statistics.median(ratios(result.rounds, goal["subject"], goal["references"], goal["metric"]))
        verdicts.append(goal | {"reached": reached, "met": reached <= goal["limit"]})
    return verdicts


def as_json(results, skipped, failed, environment):
    return {
        "schema": SCHEMA,
        "environment": environment,
        "scenarios": [
            {
                "name": each.name,
                "title": each.title,
                "rounds": each.rounds,
                "median": medians(each),
                "ratios": [
                    {"subject": subject, "reference": reference, "metric": metric,
                     "rounds": ratios(each.rounds, subject, [reference], metric),
                     "median": statistics.median(ratios(each.rounds, subject, [reference], metric))}
                    for subject, reference in each.pairs for metric in _compared(each)],
                "notes": each.notes,
            } for each in results],
        "goals": judged(results),
        "skipped": skipped,
        "failed": failed,
    }


def _columns(result):
    """Title, width, and text of a cell from a row of medians."""
    if result.name == "idle":
        return [
            ("B/connection", 14, lambda row: f"{row['bytesPerConnection']:.0f}"),
            ("before MiB", 12, lambda row: f"{row['residentKiBBefore'] / 1024:.1f}"),
            ("with MiB", 10, lambda row: f"{row['residentKiBAfter'] / 1024:.1f}"),
            ("peak MiB", 10, lambda row: f"{row['peakKiB'] / 1024:.1f}"),
        ]
    return [
        ("CPU µs/req", 11, lambda row: f"{row['cpuMicroseconds']:.2f}"),
        ("user", 8, lambda row: f"{row['userMicroseconds']:.2f}"),
        ("system", 8, lambda row: f"{row['systemMicroseconds']:.2f}"),
        ("req/s", 9, lambda row: f"{row['requestsPerSecond']:.0f}"),
        ("p50 ms", 8, lambda row: f"{row['p50Milliseconds']:.2f}"),
        ("p99 ms", 8, lambda row: f"{row['p99Milliseconds']:.2f}"),
        ("peak MiB", 9, lambda row: f"{row['peakKiB'] / 1024:.1f}"),
        ("busy", 6, lambda row: f"{row['busy'] * 100:.0f}%"),
        ("backend", 8, lambda row: f"{row['backendBusy'] * 100:.0f}%"),
    ]


def _scenario_text(result):
    name_width = max(9, *(len(name) for name in result.rounds)) + 1
    columns = _columns(result)
    lines = [f"{result.name}: {result.title}", ""]
    lines.append("  " + " " * name_width + "".join(f"{title:>{width}}" for title, width, _ in columns))
    for name, row in medians(result).items():
        lines.append(f"  {name:{name_width}}" + "".join(f"{cell(row):>{width}}" for _, width, cell in columns))
    lines.append("")
    for metric, title in _compared(result).items():
        for subject, reference in result.pairs:
            values = ratios(result.rounds, subject, [reference], metric)
            label = f"{title} {subject} / {reference}"
            lines += _wrapped(
                f"  {label:42}{statistics.median(values):6.2f}×   ", [f"{value:.2f}" for value in values])
    for subject, reference in result.pairs if result.name != "idle" else []:
        lines.append(
            f"  {f'peak memory {subject} / {reference}':42}"
            f"{result.peak_kib[subject] / result.peak_kib[reference]:6.2f}×")
    lines += [f"  {note}" for note in result.notes]
    if any("backendBusy" in each and each["backendBusy"] > 0.95 for rows in result.rounds.values() for each in rows):
        lines.append("  The backend was the bottleneck in some rounds: rates and latencies are its own.")
    return lines + [""]


def _wrapped(start, words):
    """The words after `start`, on more lines below each other when they do not fit."""
    lines, line = [], start
    for word in words:
        if len(line) + len(word) + 1 > WIDTH:
            lines.append(line.rstrip())
            line = " " * len(start)
        line += word + " "
    return lines + [line.rstrip()]


def as_text(results, skipped, failed, environment):
    lines = [
        f"Medians of {environment['rounds']} rounds of {environment['seconds']} s, {environment['connections']} "
        "connections; ratios: median, then round by round.",
        f"{environment['processor']}, {environment['processors']} CPUs, Linux {environment['kernel']}, "
        f"load {environment['loadBefore']:.1f} before and {environment['loadAfter']:.1f} after.",
        "Unstick " + environment["versions"]["unstick"] + ", " + ", ".join(
            f"{name} {version}" for name, version in environment["versions"].items() if name != "unstick") + ".",
        "",
    ]
    for result in results:
        lines += _scenario_text(result)
    verdicts = judged(results)
    if verdicts:
        lines += [f"{'goal':62}{'at most':>10}{'reached':>10}", ""]
        for each in verdicts:
            lines.append(
                f"  {each['text']:60}{each['limit']:9.2f}×{each['reached']:9.2f}×  "
                f"{'met' if each['met'] else 'MISSED'}")
    for name, why in skipped.items():
        lines += textwrap.wrap(f"skipped: {name}: {why}", WIDTH, subsequent_indent="    ")
    lines += [f"FAILED: {name}: {why}" for name, why in failed.items()]
    return "\n".join(lines)
