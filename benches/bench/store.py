"""docs/benchmarks/: the figures as JSON, from which the tables and charts are made.

A run replaces the tables of its scenarios and leaves the others, so the whole can be measured in
pieces; each table says when, and at which commit, it was measured.
"""

import json
import pathlib

from . import chart, report

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def read(path=FOLDER / "results.json"):
    if path.exists():
        return json.loads(path.read_text())
    return {"machine": {}, "versions": {}, "tables": {}}


def merged(store, machine, versions, tables, order):
    """The store with these tables in it, in the order of the scenarios. Figures of another machine
    are not kept.
    """
    if store["machine"] != machine:
        store = {"tables": {}}
    both = {**store["tables"], **tables}
    return {
        "machine": machine,
        "versions": versions,
        "tables": {name: both[name] for name in order if name in both},
    }


def rounded(value):
    """Six digits are more than any figure here is worth."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return value


def write(store, folder=FOLDER):
    """Returns the paths that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = chart.charts(store)
    texts = {name: text for name, (_, text) in charts.items()}
    texts["results.json"] = json.dumps(rounded(store), indent=1, ensure_ascii=False) + "\n"
    texts["results.md"] = report.markdown(
        store, {name: title for name, (title, _) in charts.items()}
    )
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]
