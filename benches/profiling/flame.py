"""From perf's text to folded stacks, and from those to a flame graph as SVG: each frame is as wide
as its share of all samples.
"""

import re
from xml.sax.saxutils import escape

WIDTH, ROW, MARGIN, HEAD = 1400, 17, 10, 40
# Frames narrower than this many pixels are not drawn.
NARROWEST = 0.4
LETTER = 6.6
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")
HASH = re.compile(r"::h[0-9a-f]{16}$")


def folded(lines):
    """{(outermost, ..., innermost): samples}"""
    stacks, current = {}, []
    for line in [*lines, ""]:
        found = FRAME.match(line)
        if found:
            current.append(name_of(found[1], found[2]))
        elif not line.strip() and current:
            stack = tuple(reversed(current))
            stacks[stack] = stacks.get(stack, 0) + 1
            current = []
    return stacks


def name_of(symbol, module):
    if symbol == "[unknown]":
        return f"[{module.rpartition('/')[2]}]"
    name = HASH.sub("", symbol).split("+0x")[0]
    return f"{name} [kernel]" if module.startswith("[kernel") or module.endswith(".ko") else name


def tree(stacks):
    """Nested {name: [samples, children]}."""
    root = [0, {}]
    for stack, count in stacks.items():
        root[0] += count
        node = root
        for name in stack:
            node = node[1].setdefault(name, [0, {}])
            node[0] += count
    return root


def heaviest(stacks, count):
    """(share, name) of the functions that were innermost most often."""
    own, total = {}, sum(stacks.values()) or 1
    for stack, samples in stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + samples
    return [
        (samples / total, name)
        for name, samples in sorted(own.items(), key=lambda one: -one[1])[:count]
    ]


def colour(name):
    """By where the code is from: the kernel, us, CPython, the rest."""
    if name.endswith("[kernel]"):
        return "#d9a05b"
    if "singlemalt" in name or "mio::" in name or "::" in name:
        return "#d9745b"
    if name.startswith(
        ("Py", "_Py", "py", "dict", "unicode", "list", "tuple", "long", "method", "vectorcall")
    ):
        return "#7fa8d1"
    return "#b9b3a6"


def svg(title, stacks):
    root = tree(stacks)
    total, depth = root[0] or 1, max((len(stack) for stack in stacks), default=0)
    height = HEAD + ROW * depth + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        "<style>text { font: 11px monospace; fill: #1b1b1b } .title { font: 600 15px sans-serif } rect:hover { stroke: #000 }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fbfaf7"/>',
        f'<text class="title" x="{MARGIN}" y="24">{escape(title)}: {total} samples; orange kernel, red Rust, blue CPython</text>',
    ]
    draw(lines, root[1], MARGIN, height - MARGIN - ROW, (WIDTH - 2 * MARGIN) / total, total)
    return "\n".join([*lines, "</svg>"]) + "\n"


def draw(lines, children, x, y, scale, total):
    for name, (samples, below) in sorted(children.items()):
        width = samples * scale
        if width >= NARROWEST:
            letters = int((width - 4) / LETTER)
            label = (
                name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 3 else ""
            )
            lines.append(
                f"<g><title>{escape(name)}: {samples} samples, {samples / total:.1%}</title>"
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" fill="{colour(name)}" rx="1"/>'
                + (f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(label)}</text>' if label else "")
                + "</g>"
            )
            draw(lines, below, x, y - ROW, scale, total)
        x += width
