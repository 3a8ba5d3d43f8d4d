"""Configuration files for the comparison with uWSGI: made from a seed, so that a failure can be
made again.
"""

import random

# The environment of both servers.
VARIABLES = {"CFG_A": "alpha", "CFG_B": "two words", "CFG_N": "7", "CFG_EMPTY": ""}
# Beside the main file.
DATA = {"data.txt": "from data\n", "lines.txt": "one\ntwo\n\nfour\n", "number.txt": "12"}
# Values of the first refer to nothing, so that no value refers to one that is replaced later.
PLAIN_NAMES = ["base", "cores", "k1", "under_score", "Größe"]
NAMES = ["k2", "k3", "name.dot"]
FLAGS = ["master", "vacuum", "die-on-term", "need-app", "lazy-apps"]
FLAG_WORDS = ["true", "false", "1", "0", "on", "off", "yes", "no", "TRUE", "Off"]
NUMBERS = ["processes", "threads", "harakiri", "workers", "max-requests", "listen"]
CONDITIONS = [
    ("if-env", ["CFG_A", "CFG_UNSET", "CFG_A=alpha", "CFG_A=other", "CFG_EMPTY", "CFG_EMPTY="]),
    ("if-not-env", ["CFG_A", "CFG_UNSET", "CFG_A=alpha", "CFG_A=other", "CFG_UNSET=x"]),
    ("if-opt", ["base", "processes", "nothing", "base=/srv", "k1=", "master"]),
    ("if-not-opt", ["base", "nothing", "base=/srv", "processes=2"]),
    ("if-exists", ["data.txt", "missing.txt", ".", "%d/data.txt", "%ddata.txt"]),
    ("if-not-exists", ["data.txt", "missing.txt"]),
    ("if-file", ["data.txt", "missing.txt", ".", "%p"]),
    ("if-not-file", ["data.txt", "."]),
    ("if-dir", [".", "data.txt", "%d"]),
    ("if-not-dir", [".", "data.txt"]),
    ("if-directory", [".", "missing"]),
    ("if-plugin", ["http", "python", "nothing"]),
    ("if-not-plugin", ["http", "nothing"]),
    ("if-reload", ["", "1"]),
    ("if-not-reload", ["", "1"]),
    ("if-hostname", ["%h", "other-host"]),
    ("if-not-hostname", ["%h", "other-host"]),
]
LOOPS = [
    ("for", ["a b c", "one", "", "  a   b ", "x,y z"]),
    ("for-times", ["3", "1", "0", "2 times", "many"]),
    ("for-glob", ["%d*.txt", "*.txt", "nothing-*", "data.???"]),
    ("for-readline", ["lines.txt", "data.txt"]),
]
ENDS = ["endif", "end-if", "endfor", "end-for"]
ATOMS = [
    "plain", "/srv/app", "a b", "x=y", "1", "42", "-3", ";", "#", "; rest", "# rest", '"', "'",
    '"quoted"', "\\", "\\n", "é", "日本", "\U0001f600", "(", ")", "()", "[x]", "$", "@", "%%", "%%(base)",
    "%p", "%s", "%d", "%n", "%e", "%c", "%x", "%0", "%1", "%9", "%i", "%j", "%v", "%h",
    "%u", "%U", "%g", "%G", "%[", "%P", "%D", "%N", "%S", "%E", "%C", "%X", "%O", "%I", "%J",
    "%q", "% ", "%-", "%(base)", "%(k1)", "%(under_score)", "%(nothing)", "%()", "%(cores + 1)",
    "%(cores * 2)", "%(cores - 10)", "%(cores / 0)", "%(cores / 3)", "%(cores ++)", "%(cores --)",
    "%(base k1)", "%(k1 cores + 2)", "%(nothing + 1)", "%(cores+1)", "%(base", "%(( k1 )", "%(k1))",
    "%(_)", "%(Größe)", "$(CFG_A)", "$(CFG_B)", "$(CFG_UNSET)", "$(CFG_EMPTY)",
    "$()", "$(CFG_A", "$CFG_A", "${CFG_A}", "@(data.txt)",
    "@(number.txt)", "@(%ddata.txt)", "$(CFG_N)", "%(cores + $(CFG_N))", "%(cores * number)",
    "A" * 300, "\t", "a\tb", "%(processes)", "%(processes * 2)", "a:b", "http://x/y", ",", "==",
]  # fmt: skip


class Maker:
    """Writes the files of one case."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = []
        # Files with `inherit` close their conditions: uWSGI reads the inherited ones so late that
        # an open one decides over them, as often as it starts anew.
        self.closes = self.often(0.7)

    def one_of(self, things):
        return self.random.choice(things)

    def often(self, share):
        return self.random.random() < share

    def plain(self):
        return self.one_of([atom for atom in ATOMS if atom.strip() and not {*"$@%"} & {*atom}])

    def value(self):
        return "".join(self.one_of(ATOMS) for _ in range(self.random.choice([1, 1, 1, 2, 3])))

    def write(self, key, value):
        equal = self.one_of([" = ", " = ", " = ", "=", "\t=\t", "  =", "=   "])
        before = self.one_of(["", "", "", " ", "\t", "   "])
        behind = self.one_of(["", "", "", " ", "\t", "  \t "])
        self.lines.append(f"{before}{key}{equal}{value}{behind}")

    def setting(self):
        kind = self.random.randrange(10)
        if kind == 0:
            self.write(self.one_of(FLAGS), self.one_of(FLAG_WORDS))
        elif kind == 1:
            self.write(self.one_of(NUMBERS), self.one_of(["1", "2", "3", "4 ; four", "2 x", "8"]))
        elif kind == 2:
            self.write("env", f"V{self.random.randrange(3)}={self.value()}")
        elif kind == 3:
            self.write(
                self.one_of(["set-placeholder", "set-ph", "set"]),
                f"{self.one_of(PLAIN_NAMES)}={self.plain()}",
            )
        elif kind == 4 and self.often(0.5):
            self.lines.append(self.one_of(["k2", "  name.dot  ", "k3"]))
        elif self.often(0.3):
            self.write(self.one_of(PLAIN_NAMES), self.plain())
        else:
            self.write(self.one_of(NAMES), self.value())

    def remark(self):
        self.lines.append(
            self.one_of(
                ["", "   ", "\t", "; base = no", "# base = no", "  ;x", "\t#x = y", ";", "#"]
            )
        )

    def block(self, depth=0):
        option, subjects = self.one_of(CONDITIONS if self.often(0.7) else LOOPS)
        self.write(option, self.one_of(subjects))
        for _ in range(self.random.randrange(4)):
            if depth == 0 and self.often(0.06):
                self.block(depth=1)
            elif self.often(0.4):
                self.write(
                    self.one_of(NAMES), self.one_of(["<%(_)>", "%(_)", "%(_)%(_)", "a %(_) b"])
                )
            else:
                self.setting()
        if self.closes or self.often(0.8):
            self.write(self.one_of(ENDS), self.one_of(["", "", "x"]))

    def section(self):
        name = self.one_of(["uwsgi", "uwsgi", "other", "Uwsgi", " uwsgi ", "uwsgi:x", ""])
        self.lines.append(f"[{name}]{self.one_of(['', '', ' ', chr(9)])}")

    def body(self, count):
        for _ in range(count):
            kind = self.random.random()
            if kind < 0.55:
                self.setting()
            elif kind < 0.70:
                self.block()
            elif kind < 0.80:
                self.remark()
            elif kind < 0.84:
                self.section()
            elif kind < 0.87:
                self.write("include", self.one_of(["part.ini", "%dpart.ini"]))
            elif kind < 0.88:
                self.write("ini", self.one_of([":blue", "part.ini"]))
            elif kind < 0.90:
                self.write(self.one_of(ENDS), "")
            elif kind < 0.92:
                self.write("declare-option", "site=chdir2=$1;k2=$2 and $1")
            elif kind < 0.94:
                self.write("inherit" if self.closes else "include", "part.ini")
            else:
                self.setting()

    def text(self, names, count):
        """A file with these sections."""
        self.lines = []
        if self.often(0.2):
            self.remark()
        for name in names:
            self.lines.append(f"[{name}]")
            self.write("base", self.one_of(["/srv", "%d", "$(CFG_A)"]))
            self.write("cores", self.one_of(["4", "0", "12 monkeys"]))
            self.body(count)
        newline = self.one_of(["\n", "\n", "\n", "\r\n"])
        end = newline if self.often(0.8) else ""
        return newline.join(self.lines) + end


def generated(seed):
    """The files of a case: `main.ini`, and `part.ini` that it may include."""
    maker = Maker(seed)
    main = maker.text(["uwsgi", "blue"], maker.random.randrange(3, 14))
    part = maker.text(["uwsgi", "blue"], maker.random.randrange(1, 4))
    # What leads from one file to another may not lead back.
    part = "\n".join(
        line
        for line in part.split("\n")
        if not line.strip().startswith(("include", "inherit", "ini"))
    )
    return {"main.ini": main, "part.ini": part, **DATA}
