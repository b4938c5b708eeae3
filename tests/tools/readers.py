# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of cpr-inspect share: both readers, run over many states, and their judgements side by side."""
import json
import os
import subprocess
import sys
import tempfile
import traceback

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, "..", "reader")]
import test_cpr_stream as made  # noqa: E402  ends with 77 where the machine lacks something
import cpr_stream as cpr  # noqa: E402

source = os.path.abspath(os.environ.get("top_srcdir", os.path.join(here, "..", "..")))
build = os.path.abspath(os.environ.get("top_builddir", os.path.join(source, "build")))
INSPECT = os.path.join(build, "tools", "cpr-inspect", "cpr-inspect")
WRITE_STATES = os.path.join(build, "tests", "tools", "write-states")
BATCH = 400
PATIENCE = 120  # seconds


class Failure(Exception):
    pass


def claim(condition, message):
    if not condition:
        raise Failure(message)


def run(*arguments, stdin=b"", **options):
    """(exit status, stdout, stderr) of cpr-inspect."""
    done = subprocess.run([INSPECT, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=PATIENCE, check=False, **options)
    error = done.stderr.decode(errors="surrogateescape")
    claim("Sanitizer" not in error and "runtime error" not in error and done.returncode in (0, 1, 2, 3),
          f"{arguments} ends with {done.returncode}: {error}")
    return done.returncode, done.stdout, error


def good(*arguments, **options):
    """stdout of a command that has to work."""
    status, out, error = run(*arguments, **options)
    claim((status, error) == (0, ""), f"{arguments} ends with {status}: {error}")
    return out


def write_state(name, directory):
    path = os.path.join(directory, name)
    subprocess.run([WRITE_STATES, name, path], check=True, timeout=PATIENCE)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def python_judges(data):
    """None for a good state, else the offset."""
    try:
        cpr.parse(data)
        return None
    except cpr.StreamError as error:
        return error.offset


def c_judges_batch(directory, states):
    paths = []
    for i, data in enumerate(states):
        paths.append(os.path.join(directory, str(i)))
        with open(paths[-1], "wb") as file:
            file.write(data)
    status, out, error = run("verify", *paths)
    claim(out == b"", f"verify prints {out[:200]!r}")
    said = {}
    for line in error.splitlines():
        path, offset, reason = line.split(": ", 2)
        claim(path not in said and offset.startswith("offset ") and reason, f"verify says {line!r}")
        said[path] = int(offset[len("offset "):])
    claim(status == (1 if said else 0), f"verify ends with {status}: {error}")
    return [said.get(path) for path in paths]


def c_judges(states):
    judgements = []
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        for at in range(0, len(states), BATCH):
            judgements += c_judges_batch(directory, states[at:at + BATCH])
    return judgements


def keep(data):
    """For whoever has to find out: a copy of a state that the readers don't agree about."""
    with tempfile.NamedTemporaryFile(prefix="cpr-disagree-", delete=False) as file:
        file.write(data)
    return file.name


class Tally:
    """Both readers' judgements of many states, each with a word on what it is."""

    def __init__(self):
        self.states = []
        self.words = []

    def add(self, word, data, several=False):
        """`several`: it may have more than one fault, and either of them may be named."""
        self.words.append((word, several))
        self.states.append(bytes(data))

    def compare(self):
        """Accepted by both, or refused by both at the same offset; those that were accepted, and the figures as text."""
        faults, accepted, elsewhere = [], [], 0
        for (word, several), data, c_says in zip(self.words, self.states, c_judges(self.states)):
            python_says = python_judges(data)
            elsewhere += c_says != python_says
            if (c_says is None) != (python_says is None) or c_says != python_says and not several:
                faults.append(f"{word}: C {c_says}, Python {python_says}")
                if len(faults) <= 3:
                    faults[-1] += f", kept in {keep(data)}"
            if c_says is None and python_says is None:
                accepted.append(data)
        claim(not faults, f"{len(faults)} of {len(self.states)}: " + "; ".join(faults[:10]))
        text = f"{len(self.states)} states, {len(accepted)} accepted by both, {len(self.states) - len(accepted)} refused"
        return accepted, text + (f", {elsewhere} of those for another of several faults" if elsewhere else "")


def same_json(data):
    """cpr-inspect's JSON of a state is the Python reader's; through a pipe."""
    shown = json.loads(good("show", "--json", "-", stdin=data))
    claim(shown == cpr.parse(data), f"the JSON of a state differs, see {keep(data)}")


def main(*tests):
    """Runs each test and ends the program; CPR_TEST_ONLY chooses those whose name it is a part of."""
    failed = 0
    for test in tests:
        if os.environ.get("CPR_TEST_ONLY", "") not in test.__name__:
            continue
        try:
            saw, result = test(), "ok"
        except Exception:
            traceback.print_exc(file=sys.stdout)
            saw, result = "see above", "FAILED"
            failed += 1
        print(f"{result}: {test.__name__}: {saw}", flush=True)
    sys.exit(failed > 0)
