"""Configuration files written by hand for the comparison with uWSGI: what is alike, and what
differs, with its reason.
"""

LONG = "x" * 5000
# The texts of `main.ini`, below [uwsgi] unless they have sections of their own.
ALIKE = {
    # Conditions and loops.
    "a condition that holds": "if-env = CFG_A\nk = %(_)\nendif =",
    "a condition without an end": "if-env = CFG_UNSET\nk = 1",
    "a condition without an end in a file": {
        "main.ini": "[uwsgi]\ninclude = part.ini\nk = 1\nendif =\nk = 2\n",
        "part.ini": "[uwsgi]\nif-env = CFG_UNSET\np = 1\n",
    },
    "an end without a condition": "endif =\nk = 1\nendfor\nk = 2",
    "the end of another kind": "if-env = CFG_UNSET\nk = 1\nendfor =\nk = 2",
    "a condition in a condition that holds": "if-env = CFG_A\nif-env = CFG_B\nk = 1\nendif\nendif",
    "a condition in one that does not hold":
        "if-env = CFG_UNSET\nif-env = CFG_A\nk = 1\nendif\nk = 2\nendif\nk = 3",
    "a loop in a condition that does not hold":
        "if-env = CFG_UNSET\nfor = a b\nk = %(_)\nendfor\nk = 2\nendif\nk = 3",
    "a condition in a loop over nothing": "for =\nif-env = CFG_A\nk = 1\nendif\nk = 2\nendfor\nk = 3",
    "a condition in a loop": "for = a b\nif-env = CFG_A\nk = 1\nendif\nendfor",
    "a condition about each line": "if-not-opt = k\nk = 1\nk = 2\nendif\nif-opt = k=1\nk = 3\nendif",
    "a condition on an option": "processes = 2\nif-opt = processes=2\nk = %(_)\nendif",
    "a condition on the first of several": "k = 1\nk = 2\nif-opt = k=2\nl = %(_)\nendif",
    "a condition on an alias": "workers = 2\nif-opt = processes\nk = 1\nendif",
    "a variable with a value in it": "if-env = CFG_A=alpha\nk = %(_)\nendif\nif-env = CFG_A=\nk = 2",
    "an empty variable": "if-env = CFG_EMPTY\nk = <%(_)>\nendif\nif-not-env = CFG_EMPTY\nk = 2",
    "without a value to look at": "if-not-env = CFG_UNSET\nk = <%(_)>\nendif",
    "files": "if-file = %p\nk = 1\nendif\nif-dir = %d\nk = 2\nendif\nif-exists = %dmissing\nk = 3",
    "no files": "if-not-file = %d\nk = 1\nendif\nif-not-exists = %dmissing\nk = 2\nendif",
    "conditions without a hyphen": "ifenv = CFG_A\nk = 1\nendif\nifdir = %d\nk = 2\nendif",
    "the host": "if-hostname = %h\nk = 1\nendif\nif-not-hostname = %h\nk = 2\nendif",
    "a reload": "if-reload =\nk = 1\nendif\nif-not-reload\nk = 2\nendif",
    "a loop": "for = a  b c\nk = <%(_)>\nk = no\nendfor\nk = %(_)",
    "a loop over nothing": "for =\nk = %(_)\nendfor",
    "counted loops": "for-times = 3\nk = %(_)\nendfor\nfor-times = 0\nk = x\nendfor",
    "counted loops that do not count": "for-times = three\nk = %(_)\nendfor\nfor-times = -2\nl = 1",
    "a count with something behind it": "for-times = 2 times\nk = %(_)\nendfor",
    "a loop over the lines of a file": "for-readline = %dlines.txt\nk = %(_)\nendfor",
    "a loop over files": "for-glob = %d*.txt\nk = %(_)\nendfor\nfor-glob = %dno*\nl = %(_)\nendfor",
    "a loop over files that are named": {
        "main.ini": "[uwsgi]\nfor = part other\ninclude = %(_).ini\nendfor =\n",
        "part.ini": "[uwsgi]\nk = 1\n", "other.ini": "[uwsgi]\nk = 2\n",
    },
    # Lines.
    "spaces": "  k  =  a  b  \n\tl\t=\ta\tb\t\n m=\nn   \n",
    "spaces of Unicode": "k = \u00a0a\u00a0\nl\u2003= b\u3000\nm = \x0ba\x0c",
    "comments": "; k = 1\n# k = 2\n  ;k = 3\n\t# k = 4\nk = 5 ; six\nl = 7 # eight\n;\n#\n//k = 9",
    "comments behind options": "master = false ; no\nprocesses = 4 ; four\nvacuum = true#",
    "CRLF": "[uwsgi]\r\nk = 1\r\nmaster = true\r\n\r\nif-env = CFG_UNSET\r\nk = 2\r\nendif\r\nl = 3\r\n",
    "CR alone": "k = 1\rl = 2\nm = \r3\r",
    "no newline at the end": "[uwsgi]\nk = 1\nl = last",
    "empty lines": "\n\n   \n\t\nk = 1\n\n\n",
    "quotes": "k = \"a b\"\nl = 'a'\nm = \"open\nn = a\\nb\\\\c",
    "equal signs": "k = a=b=c\nl==x\nm = =\nn =",
    "keys alone": "k\nl m\n-n\nk = 1",
    "odd keys": "a.b = 1\na b = 2\na/b = 3\nÄ = 4\n--processes = 5\n%%x = 6",
    "rubbish": "]\n]x[\n{}\n<a>\n@@@\nk = 1",
    "a long value": f"k = {LONG}\nl = %(k)%(k)",
    "unicode": "k = äöü 日本 \U0001f600\nl = %(k)!",
    "keys again": "k = 1\nl = 2\nk = 3\nk = 1\nm = %(k)",
    "options again": "processes = 1\nprocesses = 2\nworkers = 3\nk = %(processes) %(workers)",
    "lists": "env = A=1\nenv = B=2\nenv = A=3\npythonpath = a\npp = b",
    # Sections.
    "another section": "[other]\nk = 1\n[uwsgi]\nk = 2\n[more]\nk = 3\n",
    "the section twice": "[uwsgi]\nk = 1\n[other]\nk = 2\n[uwsgi]\nk = 3\n",
    "before the section": "k = 1\n[uwsgi]\nk = 2\n",
    "sections in other spellings": "[UWSGI]\nk = 1\n[ uwsgi ]\nk = 2\n[uwsgi] \nk = 3\n  [uwsgi]\nk = 4\n",
    "an empty section": "[]\nk = 1\n[uwsgi]\nk = 2\n",
    "a section by its name": {
        "main.ini": "[uwsgi]\nk = 1\nini = :blue\n[blue]\nk = 2\nl = %x%X\n[red]\nk = 3\n",
    },
    "a section of the file read last": {
        "main.ini": "[uwsgi]\ninclude = part.ini\nini = :blue\n[blue]\nk = main\n",
        "part.ini": "[uwsgi]\np = 1\n[blue]\nk = part\n",
    },
    "a section of another file": {
        "main.ini": "[uwsgi]\nini = part.ini:blue\n", "part.ini": "[blue]\nk = %x\n[uwsgi]\nk = no\n",
    },
    # Magic variables.
    "the file": "k = %p|%s|%n|%e|%d|%c|%o|%0|%1|%9|%i|%j",
    "the first file": {
        "main.ini": "[uwsgi]\ninclude = part.ini\nl = %p %P\n",
        "part.ini": "[uwsgi]\nk = %P|%S|%N|%E|%D|%C|%O|%I|%J|%p|%s\n",
    },
    "a file in a folder": {
        "main.ini": "[uwsgi]\ninclude = sub/deep/part.v2.ini\nk = %d%n\n",
        "sub/deep/part.v2.ini": "[uwsgi]\nk = %p|%n|%e|%d|%c|%o\n",
    },
    "the process": "k = %h|%u|%U|%g|%G|%v|%k",
    "percent signs": "k = 100%%\nl = %%(base) %%d\nm = %%%%\nn = %%%d",
    "no variables": "k = %Y-%m-%q\nl = % x\nm = %-5\nn = %,",
    "in keys and sections": "k%n = 1\nk%% = 2",
    "an escape": "k = %[[31m",
    "in comments": "; %p\n# %(x)\nk = 1",
    # Values that refer to others.
    "placeholders": "a = 1\nk = %(a)%(a)\nl = %(k)\nm = %(nothing)\nn = %() %( %(a",
    "a placeholder that comes later": "k = x%(late)\nlate = 5",
    "a placeholder in parentheses": "a = 1\nk = (%(a))\nl = %((a))\nm = %(a))\nn = %(b(c%(a)))d",
    "a name with another inside": "a = 1\nk = %(nope%(a))x",
    "arithmetic":
        "a = 8\nk = %(a + 2)\nl = %(a - 10)\nm = %(a * 3)\nn = %(a / 3)\no = %(a / 0)\np = %(a ++)\n"
        "q = %(a --)\nr = %(a + a * a)\ns = %(a+2)\nt = %(a  +  2)",
    "arithmetic with texts":
        "a = 12 monkeys\nb = x\nk = %(a + 1)\nl = %(b + 1)\nm = %(nothing + 1)\nn = %(a b)\no = %(1 + 1)\n"
        "p = %(a b + 2)\nq = %(- 1)\nr = %(++)\ns = %(a +)",
    "large numbers": "a = 9223372036854775807\nk = %(a + 1)\nl = %(a * 2)\nm = %(a - 1)\nn = %(a ++)",
    "variables": "k = $(CFG_A)/$(CFG_B)\nl = $(CFG_UNSET)\nm = $(CFG_EMPTY)|\nn = $CFG_A ${CFG_A} $() $(CFG_A",
    "variables inside placeholders": "alpha = 1\nk = %($(CFG_A))\nl = %(alpha + $(CFG_N))",
    "files as values": "k = @(%ddata.txt)|\nl = @(data.txt)@(number.txt)\nnumber = @(number.txt)\nm = %(number + 1)",
    "other signs": "k = @ @x @() $ $x (x) ()",
    # Options that act at once.
    "set": "set = k=1\nset = processes=3\nset = l=a=b\nm = %(k)%(processes)",
    "set-placeholder": "set-placeholder = k=1\nset-ph = l=2\nm = %(k)%(l)\nif-opt = k=1\nn = 1\nendif",
    "a placeholder that is an option": "set-placeholder = processes=3",
    "set without a value": "set = k",
    "declare-option": "declare-option = site=k=$1;l=$2 $1\nsite = a b\nm = %(site)",
    "exit": "k = 1\nexit = 3\nl = 2",
    "exit in a condition": "if-env = CFG_UNSET\nexit = 3\nendif\nk = 1",
    "print": "print = hello %n\nk = 1\nprint = %(k)",
    "strict, without placeholders": "strict = true\nmaster = true\nset-ph = k=1\nprocesses = %(k)",
    "strict": "strict = true\nk = 1",
    "strict at the end": "k = 1\nstrict = true",
    "strict that is off": "strict = false\nk = 1",
    "inherit": {
        "main.ini": "[uwsgi]\nk = 1\ninherit = part.ini\nl = %(k)\n",
        "part.ini": "[uwsgi]\nk = 2\nm = %(k) $(CFG_A) @(data.txt) %n\n",
    },
    "a missing file": "include = missing.ini",
    "a file in a circle": {"main.ini": "[uwsgi]\ninclude = part.ini\nk = 1\n", "part.ini": "[uwsgi]\nk = 2\n"},
    "an empty file": {"main.ini": "[uwsgi]\n"},
}  # fmt: skip

XML = """<uwsgi>
  <k>1</k><k>2</k>
  <master>1</master>
  <l/>
  <processes>%(k)</processes>
  <m>%n $(CFG_A) @(data.txt) a &amp; b</m>
</uwsgi>
"""
YAML = """uwsgi:
  k: 1
  k: 2
  master: true
  processes: %(k)
  m: %n $(CFG_A) @(data.txt)
  n: a: b # rest
"""
# Other formats and command lines: files, arguments.
COMMANDS = {
    "xml": ({"main.xml": XML}, ["--xml", "main.xml"]),
    "xml in an element": ({"main.xml": f"<site>{XML}</site>"}, ["--xml", "main.xml"]),
    "xml by its id": (
        {"main.xml": "<s><uwsgi id='a'><k>1</k></uwsgi><uwsgi id='b'><k>2</k></uwsgi></s>"},
        ["--xml", "main.xml:b"],
    ),
    "broken xml": ({"main.xml": "<uwsgi><k>1</uwsgi>"}, ["--xml", "main.xml"]),
    "yaml": ({"main.yaml": YAML}, ["--yaml", "main.yaml"]),
    "a section of yaml": ({"main.yml": f"blue:\n  k: blue\n{YAML}"}, ["--yml", "main.yml:blue"]),
    "two files": (
        {"a.ini": "[uwsgi]\nk = 1\nl = %n %N\n", "b.ini": "[uwsgi]\nk = 2\nl = %n %N\n"},
        ["--ini", "a.ini", "--ini", "b.ini"],
    ),
    "an option before and behind": (
        {"a.ini": "[uwsgi]\nprocesses = 2\nk = %(processes)\n"},
        ["--processes", "1", "--ini", "a.ini", "--processes", "3"],
    ),
    "a section": (
        {"a.ini": "[uwsgi]\nk = 1\n[blue]\nk = 2\nl = %x %X %o %O\n"},
        ["--ini", "a.ini:blue"],
    ),
    "a bare name": ({"a.ini": "[uwsgi]\nk = %n %d\n"}, ["a.ini"]),
    "set": (
        {"a.ini": "[uwsgi]\nk = %(p)\n"},
        ["--set", "p=5", "--set-ph", "q=6", "--ini", "a.ini"],
    ),
    "a condition": (
        {"a.ini": "[uwsgi]\nk = 1\n"},
        ["--if-env", "CFG_UNSET", "--ini", "a.ini", "--endif", "--set", "l=2"],
    ),
    "an open condition of a file": (
        {"a.ini": "[uwsgi]\nif-env = CFG_UNSET\nk = 1\n"},
        ["--ini", "a.ini", "--set", "l=2", "--endif", "--set", "m=3"],
    ),
}

REFUSED = None
# What differs: files, arguments, what uWSGI reads, what ours reads, and why.
DIFFERENT = {
    "a byte order mark": (
        "\ufeff[uwsgi]\nk = 1\n", {}, {"k": ["1"]},
        "Windows editors write it; uWSGI does not find the section.",
    ),
    "a section that is missing": (
        "[other]\nk = 1\n", {}, REFUSED,
        "uWSGI warns and starts without any option.",
    ),
    "a comment behind a section": (
        "[uwsgi] ; mine\nk = 1\n", {}, {"k": ["1"]},
        "Can only be meant like this; uWSGI does not find the section.",
    ),
    "a percent sign at the end of a line": (
        "[uwsgi]\nk = 5%\nl = 1\n", {"k": ["5l = 1"]}, {"k": ["5%"], "l": ["1"]},
        "uWSGI joins the line with the next one.",
    ),
    "a percent sign before a letter of several bytes": (
        "[uwsgi]\nk = %é.\n", {"k": ["\ufffd."]}, {"k": ["."]},
        "uWSGI removes its first byte.",
    ),
    "else": (
        "[uwsgi]\nif-env = CFG_A\nk = 1\nelse =\nk = 2\nendif =\n",
        {"k": ["1", "2"], "else": [""]}, {"k": ["1"]},
        "uWSGI has it since 2.1.",
    ),
    "a variable with a default": (
        "[uwsgi]\nk = $(CFG_UNSET:1)\n", {"k": ["$(CFG_UNSET:1)"]}, {"k": ["1"]},
        "uWSGI has it since 2.1.",
    ),
    "an empty key": (
        "[uwsgi]\n= x\nk = 1\n", {"": ["x"], "k": ["1"]}, {"k": ["1"]},
        "No value can refer to it.",
    ),
    "a flag alone": (
        "[uwsgi]\nmaster\n", {"master": [""]}, {"master": ["true"]},
        "On in both; uwsgi.opt has True, because an empty text is false to Python.",
    ),
    "references in a placeholder that is set": (
        "[uwsgi]\na = 1\nset-ph = k=%(a)$(CFG_A)\nl = %(k)\n",
        {"a": ["1"], "set-ph": ["k=%(a)$(CFG_A)"], "k": ["%(a)$(CFG_A)"], "l": ["%(a)$(CFG_A)"]},
        {"a": ["1"], "set-ph": ["k=1alpha"], "k": ["1alpha"], "l": ["1alpha"]},
        "uWSGI leaves references to variables as they stand.",
    ),
    "a reference to a value that begins with one": (
        "[uwsgi]\nk = %(l)\nl = %(m)\nm = 1\n",
        {"k": ["%(m)"], "l": ["1"], "m": ["1"]}, {"k": ["1"], "l": ["1"], "m": ["1"]},
        "uWSGI overlooks a name at the beginning of a value that it has put in.",
    ),
    "a value that refers to itself": (
        "[uwsgi]\nk = %(k)\n", {"k": ["%(k)"]}, REFUSED,
        "It cannot be meant; with a letter before it uWSGI does not end.",
    ),
    "a condition in a file that is named in one": (
        "[uwsgi]\nif-env = CFG_A\ninclude = part.ini\nendif =\n",
        REFUSED, {"include": ["part.ini"], "p": ["1"], "q": ["2"]},
        "uWSGI knows one condition at a time, over all files.",
    ),
    "a section of a file that is included": (
        "[uwsgi]\ninclude = part.ini:blue\n", REFUSED, {"include": ["part.ini:blue"], "b": ["3"]},
        "uWSGI looks for the ending at the end of the name; --ini takes a section there, too.",
    ),
    "the name of a section's file": (
        "[uwsgi]\nini = :blue\n[blue]\nk = %o\n",
        {"ini": [":blue"], "k": [""]}, {"ini": [":blue"], "k": ["main.ini"]},
        "For uWSGI the name is empty here.",
    ),
    "an option of ours that uWSGI has not": (
        "[uwsgi]\napp = shop\nk = %(app).wsgi\n", {"app": ["shop"], "k": ["shop.wsgi"]},
        {"app": ["shop"], "k": ["shop.wsgi"]},
        "A placeholder in both, if a value refers to it.",
    ),
}  # fmt: skip
PART = "[uwsgi]\nif-env = CFG_A\np = 1\nendif =\nq = 2\n[blue]\nb = 3\n"
# The same for other formats and arguments.
DIFFERENT_COMMANDS = {
    "quotes in yaml": (
        {"a.yaml": "uwsgi:\n  k: 'a b'\n"}, ["--yaml", "a.yaml"], {"k": ["'a b'"]}, {"k": ["a b"]},
        "uWSGI built with libyaml takes them off, too.",
    ),
    "a list in yaml": (
        {"a.yaml": "uwsgi:\n  l: 1\n  k:\n  - a\n  - b\n"}, ["--yaml", "a.yaml"],
        {"l": ["1"]}, {"l": ["1"], "k": ["a", "b"]},
        "uWSGI built with libyaml reads it, too.",
    ),
    "spaces in xml": (
        {"a.xml": "<uwsgi><k> a </k></uwsgi>"}, ["--xml", "a.xml"], {"k": [" a "]}, {"k": ["a"]},
        "uWSGI keeps spaces and line ends, with which no path and no number can be meant.",
    ),
    "a flag alone in xml": (
        {"a.xml": "<uwsgi><master/></uwsgi>"}, ["--xml", "a.xml"], {"master": ["1"]}, {"master": ["true"]},
        "On in both; uwsgi.opt has True.",
    ),
    "the first file, without --ini": (
        {"a.ini": "[uwsgi]\nk = %N\n"}, ["a.ini"], {"k": [""]}, {"k": ["a"]},
        "uWSGI fills the letters of the first file only for --ini.",
    ),
    "a section, without --ini": (
        {"a.ini": "[uwsgi]\nk = 1\n[blue]\nk = 2\n"}, ["a.ini:blue"], REFUSED,
        {"k": ["2"]},
        "uWSGI takes the name for an address or ignores it.",
    ),
}  # fmt: skip
