"""Tables: for the terminal as they come, and docs/benchmarks/results.md from the store."""

import time

from . import bars
from .peers import OURS

# Heading and how a figure is written.
COLUMNS = {
    "rate": ("req/s", "{:,.0f}", 1),
    "p50": ("p50 ms", "{:.3f}", 1e-3),
    "p99": ("p99 ms", "{:.3f}", 1e-3),
    "p999": ("p99.9 ms", "{:.3f}", 1e-3),
    "p99_alone": ("p99 ms alone", "{:.3f}", 1e-3),
    "cpu": ("CPU µs/req", "{:.2f}", 1),
    "front": ("nginx µs/req", "{:.2f}", 1),
    "syscalls": ("calls/req", "{:.2f}", 1),
    "ideal": ("of the ideal", "{:.1%}", 1),
    "held": ("held", "{:,.0f}", 1),
    "bytes": ("bytes each", "{:,.0f}", 1),
    "idle_cpu": ("CPU % idle", "{:.2f}", 1),
    "alone": ("req/s alone", "{:,.0f}", 1),
    "hello": ("hello ms", "{:,.0f}", 1),
    "django": ("Django ms", "{:,.0f}", 1),
    "hello_1": ("hello x 1 MB", "{:.1f}", 1),
    "hello_4": ("hello x 4 MB", "{:.1f}", 1),
    "django_1": ("Django x 1 MB", "{:.1f}", 1),
    "django_4": ("Django x 4 MB", "{:.1f}", 1),
    "further_hello": ("a further hello", "{:.1f}", 1),
    "further_django": ("a further Django", "{:.1f}", 1),
}
RATIOS = {"rate": "req/s", "cpu": "CPU", "p99": "p99"}


def cells(table):
    """The heading and the rows as text."""
    with_ratios = any(row["ratios"] for row in table["rows"])
    head = ["", *(COLUMNS[key][0] for key in table["columns"])]
    if with_ratios:
        head += [f"{word}: ours / theirs" for word in RATIOS.values()]
    lines = []
    for row in table["rows"]:
        if row["failed"] is not None:
            lines.append(([row["label"]], f"not measured: {row['failed']}"))
            continue
        line = [row["label"]]
        for key in table["columns"]:
            _, form, scale = COLUMNS[key]
            line.append(form.format(row["figures"][key] * scale) if key in row["figures"] else "")
        if with_ratios:
            line += [f"{row['ratios'][key]:.2f}" if key in row["ratios"] else "" for key in RATIOS]
        lines.append((line, "; ".join(row["remarks"])))
    return head, lines


def about(table):
    words = ["server and client on a core each" if table["pinned"] else "not pinned"]
    if table["slices"]:
        words.append(f"{table['slices']} slices of each")
    if table["noisy"]:
        words.append(f"{table['noisy']} disturbed by other work on the machine")
    if table["disturbed"]:
        words.append("TOO DISTURBED TO BE TRUSTED")
    return ", ".join(words)


def terminal(table):
    head, lines = cells(table)
    widths = [
        max(len(line[0][column]) for line in [(head, ""), *lines] if column < len(line[0]))
        for column in range(len(head))
    ]
    text = [
        f"\n{table['title']} ({about(table)})",
        *([f"  {table['note']}"] if table["note"] else []),
    ]
    text.append(
        "  "
        + "  ".join(
            word.rjust(width) if index else word.ljust(width)
            for index, (word, width) in enumerate(zip(head, widths))
        )
    )
    for line, remark in lines:
        written = "  ".join(
            word.rjust(width) if index else word.ljust(width)
            for index, (word, width) in enumerate(zip(line, widths))
        )
        text.append(f"  {written}  {remark}".rstrip())
    return "\n".join(text)


def bars_of(tables):
    """Lines of Markdown: the bars, and what they are held against."""
    lines = ["| scenario | bar | held to | measured | |", "|---|---|---|---|---|"]
    for name, text, found, comparison, bound, met in bars.judged(tables):
        word = "not measured" if met is None else "met" if met else "**missed**"
        measured = "" if found is None else f"{found:,.2f}"
        lines.append(f"| {name} | {text} | {comparison} {bound:g} | {measured} | {word} |")
    return lines


def markdown(store, charts):
    """docs/benchmarks/results.md; `charts` are {file name: what it shows}."""
    tables = store["tables"]
    lines = ["# Benchmark results", ""]
    lines += [
        "Written by `just bench --write`; do not edit. [performance.md](../performance.md) explains the",
        "method, [analysis.md](analysis.md) the bars that are missed.",
        "",
    ]
    for name, words in charts.items():
        lines += [f"![{words}]({name})", ""]
    lines += ["## Machine and versions", "", "| | |", "|---|---|"]
    lines += [
        f"| {key} | {value} |" for key, value in {**store["machine"], **store["versions"]}.items()
    ]
    lines += ["", "## Bars", "", *bars_of(tables), "", "## Where a peer is better", ""]
    listed = [
        f"- {title}: {word} is {found:.2f} times {label}'s{' (' + '; '.join(remarks) + ')' if remarks else ''}"
        for title, label, word, found, remarks in bars.losses(tables)
    ]
    lines += listed or ["Nowhere by more than 3 %."]
    lines += ["", "## Tables", ""]
    for table in tables.values():
        head, rows = cells(table)
        lines += [
            f"### {table['title']}",
            "",
            f"`just bench {table['scenario']}`: {about(table)}. {table['note']}".rstrip(),
            "",
        ]
        lines += [
            "| " + " | ".join([*head, ""]) + " |",
            "|---" + "|---:" * (len(head) - 1) + "|---|",
        ]
        for row, remark in rows:
            name = f"**{row[0]}**" if row[0].startswith(OURS) else row[0]
            padded = [name, *row[1:], *[""] * (len(head) - len(row)), remark.replace("|", "\\|")]
            lines.append("| " + " | ".join(padded) + " |")
        lines += ["", f"Measured {table['when']}, at {table['commit']}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def now():
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime())
