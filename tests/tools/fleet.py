#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claims on the plan of a rollout: a running guest is described without stopping it, programs are asked about the description,
and the lines of 10,000 hosts become a plan by the commands in the manual."""
import contextlib
import json
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import textwrap
import time

from readers import INSPECT, PATIENCE, claim, cpr, read, run, source
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from minivmm import BUILD_1, BUILD_2, BUILD_3, BUILD_WRONG, MiniVmm, main  # noqa: E402

CARDS = ["--device", "watchdog", "--device", "crashlog"]
HOSTS = 10000


def ask(path, program, options=(), **more):
    status, out, error = run("compat", "--json", path, program, *options, **more)
    claim(error == "" and out.count(b"\n") == 1, f"{program}: {out!r}, {error!r}")
    return status, json.loads(out)


@contextlib.contextmanager
def running(accel):
    """A guest with both cards."""
    with MiniVmm(accel, "--ram", "64M", binary=BUILD_3) as vm:
        for card in ("watchdog", "crashlog"):
            vm.monitor.command(f"device_add {card}")
        yield vm


def described(vm, options):
    """The description of a running guest, and that nothing of it was stopped for that."""
    before, stops = vm.wait_for_ticks(), vm.monitor.info("stops")["stops"]
    path = os.path.join(vm.directory, "vm1.cpr")
    vm.set_command(INSPECT, "record", path, BUILD_3, *vm.options, *options)
    claim(vm.monitor.ask("migrate_check") == "would go through\n", "it is refused by its own program")
    vm.wait_for_ticks(before.ticks)
    claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
    claim(stat.S_IMODE(os.stat(path).st_mode) == 0o600 and os.listdir(vm.directory).count("vm1.cpr") == 1, "the file's mode")
    claim({device["name"] for device in cpr.parse_question(read(path))["asked"]} >= {"watchdog", "crashlog"}, "no cards")
    return path


def answers(vm, path):
    """Each kind of answer, by the codes that it should have."""
    few_files = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))}
    cases = [
        ("", 0, BUILD_3, CARDS, {}),
        ("device-version watchdog, device-field crashlog", 1, BUILD_WRONG, CARDS, {}),
        ("device-unclaimed watchdog, device-unclaimed crashlog", 1, BUILD_1, [], {}),
        ("ram-size ram, device-missing .*vcpu.*1", 1, BUILD_3, [*CARDS, "--ram", "128M", "--vcpus", "2"], {}),
        ("vm-name minivmm", 1, BUILD_3, [*CARDS, "--name", "other"], {}),
        ("program ", 1, BUILD_2, CARDS, {}),
        ("limit-open-files RLIMIT_NOFILE", 1, BUILD_3, CARDS, few_files),
        ("no-answer", 3, "/bin/true", [], {}),
        ("program-missing", 3, "/nonexistent", [], {}),
    ]
    lines = []
    for want, want_status, program, options, more in cases:
        status, line = ask(path, program, [*vm.options, *options], **more)
        refusals = [finding for finding in line["findings"] if finding["severity"] == "refusal"]
        codes = [f"{finding['code']} {finding['name']}" for finding in refusals] + ([line["error"]["code"]] if line["error"] else [])
        claim(status == want_status, f"{program} {options}: {status}, {line}")
        for code in want.split(", ") if want else []:
            claim(any(re.fullmatch(code, found) for found in codes), f"{code!r} isn't among {codes}: {line}")
        lines.append(line)
    return lines


def a_running_guest_is_described_and_asked_about(accel):
    with running(accel) as vm:
        path = described(vm, CARDS)
        lines = answers(vm, path)
        # The VMM's own preflight says the same.
        vm.set_command(BUILD_WRONG, *vm.options, *CARDS)
        said = [text[len("refused: "):] for text in vm.monitor.ask("migrate_check").splitlines() if text.startswith("refused: ")]
        claim(said == [finding["message"] for finding in lines[1]["findings"] if finding["severity"] == "refusal"], f"it says {said}")
        # An update is not for recording, and nothing of it fails for that.
        os.unlink(path)
        vm.set_command(INSPECT, "record", "/nonexistent/file", BUILD_3, *vm.options, *CARDS)
        claim("record: " in vm.monitor.ask("migrate_check"), "a file that can't be written")
        with_record = [INSPECT, "record", path]
        vm.update(BUILD_3, prefix=with_record, options=CARDS)
        before = os.stat(path)
        claim(cpr.parse_question(read(path))["vm"]["name"] == "minivmm", "the question isn't kept")
        vm.wait_for_ticks()
        claim(os.stat(path).st_mtime_ns == before.st_mtime_ns, "the state was kept")
    status, out, error = run("record", path, "/bin/true", env={})
    claim((status, out) == (2, b"") and "nobody asks" in error, f"without a question: {status}, {error}")
    return ", ".join(f"{line['verdict']}" for line in lines)


def a_host_whose_kvm_lacks_something_would_refuse(accel):
    if accel != "kvm":
        return "SKIP: it needs KVM"
    other_host = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/kvm && exec "$@"', "sh"]
    if subprocess.run([*other_host, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        return "SKIP: it may not mount"
    with running(accel) as vm:
        path = described(vm, CARDS)
        done = subprocess.run([*other_host, INSPECT, "compat", "--json", path, BUILD_3, *vm.options, *CARDS], stdout=subprocess.PIPE,
                              timeout=PATIENCE, check=False)
    line = json.loads(done.stdout)
    claim(done.returncode == 1 and [finding["code"] for finding in line["findings"]] == ["kvm"], f"{done}")
    return line["findings"][0]["message"]


def commands_of_the_manual():
    with open(os.path.join(source, "doc", "cpr-inspect.1"), encoding="utf-8") as file:
        blocks = re.findall(r"^\.Bd -literal\n(jq .*?)^\.Ed$", file.read(), re.M | re.S)
    claim(len(blocks) == 2, f"{len(blocks)} commands with jq are in the manual")
    with open(os.path.join(source, "doc", "fleet.md"), encoding="utf-8") as file:
        page = file.read()
    claim(all(textwrap.indent(block, "    ") in page for block in blocks), "doc/fleet.md has other commands than the manual")
    return blocks


def answers_of_10000_hosts_become_a_plan(accel):
    if not shutil.which("jq"):
        return "SKIP: there is no jq"
    with running(accel) as vm:
        lines = answers(vm, described(vm, CARDS))
        directory = vm.directory
        want, good = {}, set()
        with open(os.path.join(directory, "answers"), "w", encoding="utf-8") as file:
            for i in range(HOSTS):
                host, guests = f"host{i:05}", [lines[0], lines[0]]
                if i % 7 == 0:
                    guests[1] = lines[1 + i // 7 % (len(lines) - 1)]
                else:
                    good.add(host)
                for guest in guests:
                    file.write(json.dumps({**guest, "host": host}) + "\n")
                    found = [guest["error"]] if guest["error"] else [f for f in guest["findings"] if f["severity"] == "refusal"]
                    for key in {(finding["code"], finding.get("name", guest["program"])) for finding in found}:
                        want[key] = want.get(key, 0) + 1
        began = time.monotonic()
        plan, go = (subprocess.run(["sh", "-c", command], cwd=directory, stdout=subprocess.PIPE, check=True, timeout=120)
                    .stdout.decode().splitlines() for command in commands_of_the_manual())
        took = time.monotonic() - began
    rows = [row.split("\t") for row in plan]
    claim({(code, name): int(hosts) for _, hosts, code, name, _ in rows} == want, f"the plan is {rows}, and should be {want}")
    claim([int(row[0]) for row in rows] == sorted((int(row[0]) for row in rows), reverse=True), "the worst don't come first")
    claim(set(go) == good and len(go) == len(good), f"{len(go)} hosts would go through, and should be {len(good)}")
    print("the plan:", *plan[:3], sep="\n  ")
    return f"{2 * HOSTS} lines, {len(rows)} reasons, {HOSTS - len(go)} hosts that refuse, {took:.1f} s"


main(a_running_guest_is_described_and_asked_about, a_host_whose_kvm_lacks_something_would_refuse, answers_of_10000_hosts_become_a_plan)
