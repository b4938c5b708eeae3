#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claims on `cpr-inspect compat`: its exit status, its line of JSON and the code of each finding. The asked program is a
script that answers with the findings that the test wants; tests/tools/fleet.py has real ones."""
import json
import os
import re
import sys
import tempfile

from readers import claim, cpr, good, made, main, read, run, source, write_state

ANSWERS = """#!{python}
import json, os, sys
sys.path[:0] = [{here!r}]
from readers import cpr, made
question = os.pread(3, 1 << 24, 0)
with open({asked!r}, "wb") as file:
    file.write(question)
with open(sys.argv[1]) as file:
    findings = [made.finding(severity, subject, name.encode("latin-1"), message.encode("latin-1"))
                for severity, subject, name, message in json.load(file)]
head = (cpr.ANSWER, made.u64(cpr.checksum(question)) + made.u32(any(payload[0] for _, payload in findings))
        + made.s(b"/vmm") + made.s(b"0fA9") + made.u64(1) + made.u64(2))
os.write(4, made.frame([head, made.GOOD[made.SCHEMA_AT], *findings])[0])
"""
SUBJECTS = {"VM": 1, "PROGRAM": 2, "FD": 3, "RAM": 4, "DEVICE": 5, "LIMIT": 6}
# The VMM's own words, and those of a conversion that failed or a kernel that lacks something.
FREE = {'"%s"', '"device \'%s\': %s"', '"device%s %s: %s"'}
CALL = re.compile(r"(?:REFUSE|LOSE) \((\w+), (.*?)\);|cpr_findings_add \(findings, \w+, CPR_SUBJECT_(\w+), (.*?)\);", re.S)
DEVICE_WORDS = {
    "device 'a': field 'x': a value doesn't fit into uint of 1 byte": "device-field",
    "device 'a': type 't': version is 3 in the state, this program loads 1 to 2": "device-version",
    "devices 'a', 'b': MSR 0x174: it is in the state, and KVM doesn't have it here": "kvm",
    "device 'a': /dev/kvm: No such file or directory": "kvm",
    "device 'a': something that a later library says": "device",
}


class Asked:
    """A folder with a state, and a script that answers."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cpr-")
        self.state = write_state("full", self.folder.name)
        self.asked = self.path("asked")
        self.program = self.script("program", ANSWERS.format(python=sys.executable, asked=self.asked,
                                                             here=os.path.dirname(os.path.abspath(__file__))))
        return self

    def __exit__(self, *args):
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def script(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), 0o755)
        return self.path(name)

    def ask(self, findings, *options):
        """Status and output; a finding is (severity, subject, name, message), each byte of a text one character."""
        with open(self.path("findings"), "w", encoding="utf-8") as file:
            json.dump(findings, file)
        status, out, error = run("compat", *options, self.state, self.program, self.path("findings"))
        claim(error == "", f"it says {error!r}")
        return status, out.decode()


def one_line(out):
    claim(out.endswith("\n") and out.count("\n") == 1, f"this isn't one line: {out!r}")
    return json.loads(out)


def the_status_and_the_verdict_tell_what_came_of_it():
    with Asked() as asked:
        damaged = asked.path("damaged")
        with open(damaged, "wb") as file:
            file.write(read(asked.state)[:-1])
        state = asked.state
        program = [asked.program, asked.path("findings")]
        asked.ask([])  # makes the list of findings
        sleeps = asked.script("sleeps", "#!/bin/sh\nexec sleep 60\n")
        rubbish = asked.script("rubbish", "#!/bin/sh\necho rubbish >&4\n")
        cases = [(state, program, 0, "yes", None),
                 (damaged, program, 3, "unasked", "state-damaged"), ("/nonexistent", program, 3, "unasked", "state-unreadable"),
                 (state, ["/nonexistent"], 3, "unasked", "program-missing"), (state, ["/bin/true"], 3, "unasked", "no-answer"),
                 (state, [rubbish], 3, "unasked", "answer-damaged"), (state, [sleeps], 3, "unasked", "no-answer-in-time")]
        for file, command, want, verdict, code in cases:
            status, out, error = run("compat", "--json", *(["--timeout", "1"] if command == [sleeps] else []), file, *command)
            line = one_line(out.decode())
            claim((status, line["verdict"], error) == (want, verdict, ""), f"{command}: {status}, {line}, {error!r}")
            claim((line["error"] or {}).get("code") == code, f"{command}: {line}")
            claim((line["format"], line["file"], line["program"]) == (1, file, command[0]), f"{line}")
            claim((line["vm"] is None) == (file != state) and (line["build_id"] is None) == (code is not None), f"{line}")
            status, out, error = run("compat", "--timeout", "1" if command == [sleeps] else "60", file, *command)
            claim((status, out) == (want, b"") and error.count("\n") == (code is not None), f"{command}: {status}, {out}")
        refused = one_line(asked.ask([(0, 3, "a", "loss"), (1, 4, "b", "refusal")], "--json")[1])
        claim(refused["verdict"] == "no" and [f["severity"] for f in refused["findings"]] == ["loss", "refusal"], f"{refused}")
        claim(asked.ask([(0, 3, "a", "loss")], "--json")[0] == 0, "a loss is no refusal")
        claim(asked.ask([(0, 3, "a", "x"), (1, 4, "b", "y")]) == (1, "loss: x\nrefusal: y\n"), "the lines for people")
        for arguments in (["compat", "--json", state], ["compat", "--xml", state, "/bin/true"], ["record", "x"],
                          ["compat", "--timeout", state, "/bin/true"], ["compat", "--timeout", "0", state, "/bin/true"],
                          ["record", "--json", "x", "/bin/true"]):
            claim(run(*arguments)[:2] == (2, b""), f"{arguments}")
    return f"{len(cases) + 2} answers"


def any_text_becomes_json():
    names = ["caf\xc3\xa9", "\xff\xfe", "a\"b\\c", "tab\tline\nbell\a\x7f\x1b[2J", "\xed\xa0\x80", "\xf0\x9f\x98\x80", "\xe2\x80\xa8", ""]
    with Asked() as asked:
        out = asked.ask([(1, 5, name, f"device '{name}': field 'x'") for name in names], "--json")[1]
        found = one_line(out)["findings"]
        for name, finding in zip(names, found):
            claim(finding["name"] == cpr.to_text(name.encode("latin-1")), f"{name!r} becomes {finding['name']!r}")
            claim(finding["code"] == "device-field", f"{finding}")
        claim(not re.search("[\x00-\x1f\x7f]", out[:-1]), "a control character isn't escaped")
        # A name that is a message, too: its words don't count.
        name = "x': it isn't in the state"
        finding = one_line(asked.ask([(1, 4, name, f"RAM block '{name}': size is 1 in the state, 2 here")], "--json")[1])["findings"][0]
        claim(finding["code"] == "ram-size", f"{finding}")
        odd = os.fsencode(asked.folder.name) + b"/\xff\n\""
        os.rename(asked.state, odd)
        status, out, _ = run("compat", "--json", odd, asked.program, asked.path("findings"))
        claim(status == 1 and one_line(out.decode())["file"] == cpr.to_text(odd), f"{out}")
    return f"{len(names)} names"


def findings_of_the_library():
    """(subject, message) of each finding that the library's sources word, and those of FREE left out."""
    found = []
    for name in ("compare", "compare-limits", "compare-surroundings"):
        with open(os.path.join(source, "lib", "ask", name + ".c"), encoding="utf-8") as file:
            text = file.read()
        for match in CALL.finditer(text):
            subject, arguments = match[1] or match[3], match[2] or match[4]
            if subject not in SUBJECTS:
                continue
            literals = re.findall(r'"(?:[^"\\]|\\.)*"', arguments)
            if literals[0] == '""' or re.fullmatch(r'"[A-Z_]+"|"capabilities"', literals[0]):
                literals = literals[1:]  # the name
            if literals[0] not in FREE:
                found.append((SUBJECTS[subject], "".join(literal[1:-1] for literal in literals)))
    return found


def each_finding_of_the_library_has_a_code_of_its_own():
    """And the manual names them all."""
    wanted = findings_of_the_library()
    claim(len(wanted) >= 25, f"only {len(wanted)} are found in the sources")
    fill = lambda text: re.sub(r"%\w+", "7", re.sub(r"'%s'", "'a'", text))
    messages = [(subject, fill(text)) for subject, text in wanted]
    messages += [(2, "root directory: process 7, which has the guest, has inode 7"),
                 (2, "mount namespace: process 7, which has the guest, has inode 7"),
                 (2, "start-up: it failed in its rehearsal: no"), (5, "device 'a': field 'x' is unknown here, its value would be dropped")]
    messages += [(5, text) for text in DEVICE_WORDS]
    with Asked() as asked:
        found = one_line(asked.ask([(1, subject, "a", message) for subject, message in messages], "--json")[1])["findings"]
        plain = one_line(asked.ask([(1, subject, "a", "?") for subject in SUBJECTS.values()], "--json")[1])["findings"]
    codes = {}
    for (subject, message), finding in zip(messages, found):
        claim(finding["message"] == message, f"{finding}")
        codes[message] = finding["code"]
    general = {finding["code"] for finding in plain}
    claim(general == {name.lower() for name in SUBJECTS}, f"{general}")
    nameless = [m for m, code in codes.items() if code in general and DEVICE_WORDS.get(m) != code
                and m not in ("%s: 7 7 7 unknown here, 7 would be dropped",) and not m.startswith("7: process ")]
    claim(not nameless, f"these have no code of their own: {nameless}")
    for message, code in DEVICE_WORDS.items():
        claim(codes[message] == code, f"{message!r} has the code {codes[message]}")
    with open(os.path.join(source, "doc", "cpr-inspect.1"), encoding="utf-8") as file:
        manual = set(re.findall(r"^\.It Li ([\w-]+)$", file.read(), re.M))
    errors = {"state-unreadable", "state-damaged", "program-missing", "no-answer", "no-answer-in-time", "answer-damaged", "system"}
    with open(os.path.join(source, "tools", "cpr-inspect", "findings.c"), encoding="utf-8") as file:
        table = set(re.findall(r'CPR_SUBJECT_\w+, ".*", "([\w-]+)" }', file.read()))
    claim(set(codes.values()) | general == table, f"not tried: {table ^ (set(codes.values()) | general)}")
    claim(manual == table | errors, f"the manual and the tool differ in {manual ^ (table | errors)}")
    return f"{len(messages)} messages, {len(table)} codes"


def a_recorded_question_is_asked_again():
    """Through cpr-inspect's own question, and with what it can be damaged by."""
    with Asked() as asked:
        asked.ask([])
        first = read(asked.asked)
        with open(asked.path("recorded"), "wb") as file:
            file.write(first)
        for where in (asked.path("recorded"), "-"):
            good("compat", where, asked.program, asked.path("findings"), stdin=first)
            again = cpr.parse_question(read(asked.asked))
            old = cpr.parse_question(first)
            for part in ("fds", "ram", "containers", "structs", "types", "asked", "devices"):
                claim(again[part] == old[part], f"{part} differs")
            claim(again["vm"]["name"] == old["vm"]["name"] and again["vm"]["pid"] != old["vm"]["pid"], f"{again['vm']}")
        for at in range(0, len(first), 97):
            broken = first[:at] + bytes([first[at] ^ 4]) + first[at + 1:]
            status, out, _ = run("compat", "--json", "-", "/nonexistent", stdin=broken)
            claim(status == 3 and one_line(out.decode())["error"]["code"] == "state-damaged", f"byte {at}: {out}")
        short = made.frame([(cpr.QUESTION, made.u32(1) + made.u32(9) + made.u64(1) + made.u64(2))])[0]
        status, out, error = run("compat", "-", asked.program, asked.path("findings"), stdin=short)
        claim(status == 3 and "no VM" in error, f"a question for the schema alone: {status}, {error}")
    return f"{len(first)} bytes"


main(the_status_and_the_verdict_tell_what_came_of_it, any_text_becomes_json, each_finding_of_the_library_has_a_code_of_its_own,
     a_recorded_question_is_asked_again)
