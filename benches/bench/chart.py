"""Charts as SVG: a panel of horizontal bars for each scenario, legible on light and on dark pages.

Colours come from the page's scheme (`prefers-color-scheme`); nothing is said by colour alone: ours
are the bars with bold names, and every bar has its figure beside it.
"""

import dataclasses
from xml.sax.saxutils import escape

from .peers import OURS

STYLE = """\
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 17px; font-weight: 600; }
.panel { font-size: 13px; font-weight: 600; }
.ours { font-weight: 700; }
.quiet { fill: #59636e; }
.page { fill: #ffffff; }
.bar { fill: #8c96a3; }
.bar.own { fill: #b4561b; }
.axis { stroke: #c4cbd3; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .quiet { fill: #9da7b3; }
  .page { fill: #0d1117; }
  .bar { fill: #67717d; }
  .bar.own { fill: #e58a4f; }
  .axis { stroke: #3d444d; }
}
"""
PANEL_WIDTH, MARGIN, GAP = 500, 20, 30
NAME_WIDTH, FIGURE_WIDTH = 195, 70
LINE, BAR, PANEL_HEAD, TITLE_HEIGHT = 19, 13, 26, 62


@dataclasses.dataclass(frozen=True)
class Panel:
    """`bars` are (name, figure as text, length, whether it is ours)."""

    title: str
    bars: list

    @property
    def height(self):
        return PANEL_HEAD + LINE * len(self.bars) + GAP


def panels_of(tables, names, key, form, descending):
    """A panel for each of these scenarios that has this figure, the best bar on top."""
    panels = []
    for name in names:
        if name not in tables:
            continue
        rows = [
            row for row in tables[name]["rows"] if row["failed"] is None and row["figures"].get(key)
        ]
        rows.sort(key=lambda row: row["figures"][key], reverse=descending)
        bars = [
            (
                row["label"],
                form.format(row["figures"][key]),
                row["figures"][key],
                row["peer"] == OURS,
            )
            for row in rows
        ]
        if bars:
            panels.append(Panel(tables[name]["title"], bars))
    return panels


def svg(title, subtitle, panels):
    """Two columns; each panel goes where there is more room, so that the picture is as low as it
    can be.
    """
    bottoms, placed = [TITLE_HEIGHT, TITLE_HEIGHT], []
    for panel in panels:
        column = 0 if bottoms[0] <= bottoms[1] else 1
        placed.append((MARGIN + column * (PANEL_WIDTH + GAP), bottoms[column], panel))
        bottoms[column] += panel.height
    width, height = 2 * MARGIN + 2 * PANEL_WIDTH + GAP, max(bottoms)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(described(panels))}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="{MARGIN}" y="26">{escape(title)}</text>',
        f'<text class="quiet" x="{MARGIN}" y="45">{escape(subtitle)}</text>',
    ]
    for x, y, panel in placed:
        lines += drawn(panel, x, y)
    return "\n".join([*lines, "</svg>"]) + "\n"


def drawn(panel, x, y):
    longest = max(length for _, _, length, _ in panel.bars)
    room = PANEL_WIDTH - NAME_WIDTH - FIGURE_WIDTH
    left = x + NAME_WIDTH
    lines = [f'<text class="panel" x="{x}" y="{y + 12}">{escape(panel.title)}</text>']
    bottom = y + PANEL_HEAD + LINE * len(panel.bars)
    lines.append(
        f'<line class="axis" x1="{left}" y1="{y + PANEL_HEAD - 4}" x2="{left}" y2="{bottom}"/>'
    )
    for index, (name, figure, length, own) in enumerate(panel.bars):
        top = y + PANEL_HEAD + LINE * index
        bar = max(1.0, room * length / longest)
        kind = ' class="ours"' if own else ""
        lines.append(
            f'<text{kind} x="{left - 8}" y="{top + 11}" text-anchor="end">{escape(name)}</text>'
        )
        lines.append(
            f'<rect class="bar{" own" if own else ""}" x="{left}" y="{top}" width="{bar:.1f}" height="{BAR}" rx="2"/>'
        )
        lines.append(f'<text{kind} x="{left + bar + 6:.1f}" y="{top + 11}">{escape(figure)}</text>')
    return lines


def described(panels):
    """The same in words, for those who cannot see it."""
    return "; ".join(
        f"{panel.title}: " + ", ".join(f"{name} {figure}" for name, figure, _, _ in panel.bars)
        for panel in panels
    )


THROUGHPUT = (
    "hello-c1",
    "hello-c32",
    "hello-c256",
    "browser",
    "close",
    "body-10k",
    "post-1k",
    "flask",
    "django",
    "django-page",
)
PARALLEL = ("workers-2", "django-2", "cpu", "sleep")


def charts(store):
    """{file name: (title, SVG)} of everything that the store has figures for."""
    tables, machine = store["tables"], store["machine"]
    where = f"{machine['CPU']}, {machine['cores']} cores, {machine['kernel']}, {machine['Python']}"
    found = {
        "throughput.svg": (
            "Requests per second, longer is better",
            panels_of(tables, (*THROUGHPUT, *PARALLEL), "rate", "{:,.0f}", True),
        ),
        "cpu.svg": (
            "CPU microseconds per request of the whole process tree, shorter is better",
            panels_of(tables, (*THROUGHPUT, "workers-2", "django-2"), "cpu", "{:,.1f}", False),
        ),
    }
    memory = tables.get("memory")
    if memory:
        words = {
            "hello_1": "Hello, one interpreter or process, MB",
            "hello_4": "Hello, four interpreters or processes, MB",
            "django_1": "Django, one interpreter or process, MB",
            "django_4": "Django, four interpreters or processes, MB",
        }
        panels = []
        for key, title in words.items():
            panels += [
                Panel(title, panel.bars)
                for panel in panels_of({"memory": memory}, ("memory",), key, "{:,.1f}", False)
            ]
        found["memory.svg"] = (
            "Proportional set size of the whole process tree after load, shorter is better",
            panels,
        )
    return {
        name: (title, svg(title, where, panels))
        for name, (title, panels) in found.items()
        if panels
    }
