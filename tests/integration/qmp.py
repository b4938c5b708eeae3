#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: minivmm speaks QMP as its clients expect it, and a client doesn't notice an update: its connection, half a message, answers that
it hasn't read and what it negotiated go along, and each event comes once and in order.

CPR_TEST_UPDATES says how many updates one client sees (20). QEMU's own Python package qemu.qmp is a client, too, where it can be
imported or CPR_TEST_QMP names the folder that has qemu/qmp, as python/ in QEMU's sources. So is Debian's
golang-github-digitalocean-go-qemu-dev, with golang-go and CPR_TEST_FAULTS=all."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from minivmm import BUILD_1, BUILD_2, PATIENCE, Closed, MiniVmm, claim, main, poll
from transfer import Successor, follow

N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "20"))
GO_SOURCES = "/usr/share/gocode/src"
HERE = os.path.dirname(os.path.abspath(__file__))


class Qmp:
    """A plain socket. Events that come before an answer are kept, in `events`."""

    def __init__(self, path, negotiate=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.buffer = b""
        self.events = []
        self.last_id = 0
        self.greeting = self.read()
        if negotiate:
            self.ask("qmp_capabilities")

    def send_text(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def send(self, command, **arguments):
        self.last_id += 1
        message = {"execute": command, "id": self.last_id}
        if arguments:
            message["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.send_text(json.dumps(message))

    def read(self):
        """The next message, whatever it is."""
        while b"\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise Closed(f"QMP closed the connection; so far {self.buffer!r}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return json.loads(line)

    def receive(self):
        """The next answer."""
        while True:
            message = self.read()
            if "event" not in message:
                return message
            self.events.append(message)

    def answer(self):
        """The answer to the last command, which has to be a success."""
        message = self.receive()
        claim("return" in message and message["id"] == self.last_id, f"{message}")
        return message["return"]

    def ask(self, command, **arguments):
        self.send(command, **arguments)
        return self.answer()

    def refuse(self, command, **arguments):
        """The text of a GenericError."""
        self.send(command, **arguments)
        message = self.receive()
        claim(message.get("error", {}).get("class") == "GenericError" and message["id"] == self.last_id, f"{message}")
        return message["error"]["desc"]

    def wait_for(self, *names):
        """The events that come next, in this order: as NAME, or MIGRATION's status."""
        found = []
        while len(found) < len(names):
            event = self.events.pop(0) if self.events else self.read()
            claim("event" in event, f"{event}")
            found.append(event)
        told = [event.get("data", {}).get("status", event["event"]) for event in found]
        claim(told == list(names), f"{told} instead of {list(names)}")
        times = [(event["timestamp"]["seconds"], event["timestamp"]["microseconds"]) for event in found]
        claim(times == sorted(times), f"{times}")
        return found

    def set_events(self):
        self.ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])

    def set_command(self, *argv):
        self.ask("migrate-set-parameters", mode="cpr-exec", cpr_exec_command=list(argv))


EXEC = ("setup", "active", "STOP", "RESUME", "completed")


@contextlib.contextmanager
def with_qmp(accel, *options):
    """A VM and the path of its QMP socket, or None and why."""
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        path = os.path.join(directory, "q")
        with MiniVmm(accel, "-qmp", f"unix:{path},server=on,wait=off", *options) as vm:
            yield vm, path


def answers_come_with_their_ids(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path, negotiate=False)
        claim(set(qmp.greeting["QMP"]) == {"version", "capabilities"}, f"{qmp.greeting}")
        claim(set(qmp.greeting["QMP"]["version"]["qemu"]) == {"major", "minor", "micro"}, f"{qmp.greeting}")
        for command, text in (("query-status", "first"), ("nonsense", "first")):
            qmp.send(command)
            answer = qmp.receive()
            claim(answer["error"]["class"] == "CommandNotFound" and text in answer["error"]["desc"], f"{answer}")
        qmp.ask("qmp_capabilities", enable=[])
        for command in ("qmp_capabilities", "nonsense", "query_status"):
            qmp.send(command)
            claim(qmp.receive()["error"]["class"] == "CommandNotFound", command)
        for number in (7, "seven", None, 1.5, {"a": [1]}, False):
            qmp.send_text(json.dumps({"id": number, "execute": "query-status"}))
            answer = qmp.receive()
            claim(answer == {"return": {"running": True, "status": "running"}, "id": number}, f"{answer}")
        names = {command["name"] for command in qmp.ask("query-commands")}
        claim({"migrate", "migrate_cancel", "stop", "query-migrate"} <= names, f"{names}")
        claim(qmp.ask("query-version") == qmp.greeting["QMP"]["version"], "another version")
        claim(qmp.ask("query-migrate") == {}, "there was no update")
        claim(qmp.ask("x-query-cpr-blockers") is not None, "no blockers")
        return f"{len(names)} commands"


WRONG = [
    '{"execute": "query-status"]', "nonsense\n", '{"execute": query-status}', "}", "[]", "[1, {}]",
    '"query-status"\n', "7\n", "{}", '{"id": 1}', '{"execute": 1}', '{"execute": "stop", "arguments": []}',
    '{"execute": "stop", "execute": "stop"}', '{"execute": "stop", "arguments": {"now": true}}', '{"execute": "stop", "more": 1}',
    '{"exec-oob": "stop", "id": 1}', '{"execute": "stop\\u0000"}', b'{"execute": "\xff\xfe"}',
    '{"execute": "migrate", "arguments": {"uri": 1}}', '{"execute": "migrate", "arguments": {"uri": "x", "detach": "on"}}',
    '{"execute": "migrate-set-capabilities"}', '{"execute": "migrate-set-capabilities", "arguments": {"capabilities": [1]}}',
    '{"execute": "migrate-set-capabilities", "arguments": {"capabilities": [{"capability": "xbzrle", "state": true}]}}',
    '{"execute": "migrate-set-capabilities", "arguments": {"capabilities": [{"capability": "events", "state": 1}]}}',
    '{"execute": "migrate-set-parameters", "arguments": {"mode": "normal"}}',
    '{"execute": "migrate-set-parameters", "arguments": {"mode": "cpr-reboot", "cpr-exec-command": ["a", 1]}}',
    '{"execute": "migrate-set-parameters", "arguments": {"downtime-limit": 1}}',
    '{"execute": "migrate-incoming", "arguments": {"uri": "unix:/x"}}', '{"execute": "system_wakeup"}',
]


def a_wrong_message_is_refused_and_changes_nothing(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path, negotiate=False)
        qmp.send("qmp_capabilities", enable=["oob"])
        claim(qmp.receive()["error"]["class"] == "GenericError", "OOB isn't offered")
        qmp.ask("qmp_capabilities")
        before = qmp.ask("query-migrate-parameters"), qmp.ask("query-migrate-capabilities")
        for text in WRONG:
            qmp.send_text(text)
            answer = qmp.receive()
            claim(answer.get("error", {}).get("class") == "GenericError", f"{text!r}: {answer}")
            claim(("id" in answer) == (text == '{"exec-oob": "stop", "id": 1}' or text == '{"id": 1}'), f"{text!r}: {answer}")
            claim(qmp.ask("query-status")["running"], f"{text!r} stopped the guest")
        for text in ('{"execute": "sto\np"}\n', '{"execute": "st\0op"}\n'):  # what follows such a byte begins anew, and is wrong again
            qmp.send_text(text)
            claim([qmp.receive()["error"]["class"] for _ in range(2)] == ["GenericError"] * 2, "another error")
        claim((qmp.ask("query-migrate-parameters"), qmp.ask("query-migrate-capabilities")) == before, "something changed")
        qmp.ask("migrate-set-parameters", mode="cpr-transfer")
        claim("'uri' is missing" in qmp.refuse("migrate"), "a transfer to nowhere")
        return f"{len(WRONG)} wrong messages"


def a_message_may_come_in_any_parts(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path)
        for byte in b' {"execute"\n:\r\n"query-status",\t"id": {"}]": "\\"{["}} ':
            qmp.send_text(bytes([byte]))
        claim(qmp.receive() == {"return": {"running": True, "status": "running"}, "id": {"}]": '"{['}}, "another answer")
        qmp.send_text("".join(json.dumps({"execute": "query-name", "id": i}) for i in range(50)))
        claim([qmp.receive()["id"] for _ in range(50)] == list(range(50)), "not one after the other")
        return "byte by byte, and 50 at once"


def too_long_a_message_ends_only_its_client(accel):
    with with_qmp(accel) as (vm, path):
        qmp, other = Qmp(path), Qmp(path)
        with contextlib.suppress(ConnectionError):  # it may be closed before it has read everything
            qmp.send_text('{"execute": "' + "x" * 100000)
        try:
            qmp.read()
            qmp.read()
            claim(False, "it is still connected")
        except (Closed, ConnectionError):
            pass
        deaf = Qmp(path)  # reads no answer
        deaf.socket.setblocking(False)
        text = json.dumps({"execute": "query-commands"}) * 100
        with contextlib.suppress(BlockingIOError):
            for _ in range(2000):
                deaf.send_text(text)
            claim(False, "it takes in more than it answers")
        claim(other.ask("query-status")["running"], "nobody else is served")
        return "refused"


def run_state_is_told_once_whoever_changes_it(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path)
        for command in ("stop", "stop", "cont", "cont"):
            qmp.ask(command)
        qmp.wait_for("STOP", "RESUME")
        for command, event, status in (("stop", "STOP", "paused"), ("cont", "RESUME", "running"),
                                       ("system_suspend", "SUSPEND", "suspended"), ("system_wakeup", "WAKEUP", "running"),
                                       ("system_suspend", "SUSPEND", "suspended")):
            vm.monitor.command(command)
            qmp.wait_for(event)
            claim(qmp.ask("query-status") == {"running": status == "running", "status": status}, f"{command}: not {status}")
        qmp.ask("stop")
        claim("is paused" in qmp.refuse("system_wakeup"), "it wakes")
        qmp.ask("cont")
        qmp.ask("system_wakeup")
        qmp.wait_for("STOP", "RESUME", "WAKEUP")
        vm.wait_for_ticks(vm.guest().ticks)
        return "by QMP and by the monitor"


def its_end_is_told(accel):
    with with_qmp(accel) as (vm, path):
        qmp, other = Qmp(path), Qmp(path)
        qmp.ask("quit")
        for client in (qmp, other):
            claim(client.wait_for("SHUTDOWN")[0]["data"] == {"guest": False, "reason": "host-qmp-quit"}, "another reason")
        claim(vm.popen.wait(PATIENCE) == 0 and not os.path.exists(path), "the socket stays")
        vm.ended = True
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path)
        vm.popen.send_signal(signal.SIGTERM)
        claim(qmp.wait_for("SHUTDOWN")[0]["data"]["reason"] == "host-signal", "another reason")
        claim(vm.popen.wait(PATIENCE) == 0, "it failed")
        vm.ended = True
    return "by a command and by a signal"


def a_client_sees_many_execs(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path)
        qmp.set_events()
        ticks = vm.wait_for_ticks().ticks
        downtimes = []
        for number in range(1, N_UPDATES + 1):
            command = [BUILD_2 if number % 2 else BUILD_1, *vm.options]
            qmp.set_command(*command)
            claim(qmp.ask("query-migrate-parameters") == {"mode": "cpr-exec", "cpr-exec-command": command}, "another command")
            qmp.ask("migrate", uri="file:unused")
            qmp.wait_for(*EXEC)
            info = qmp.ask("query-migrate")
            claim(info["status"] == "completed" and info["x-cpr"]["generation"] == number, f"{info}")
            downtimes.append(info["x-cpr"]["pause-us"])
            claim(abs(info["downtime"] * 1000 - downtimes[-1]) <= 501 and info["total-time"] >= info["downtime"], f"{info}")
            build = qmp.ask("query-version")["qemu"]["major"]
            claim(build == (2 if number % 2 else 1), f"build {build}")
            ticks = vm.wait_for_ticks(ticks).ticks
        claim(not qmp.events and vm.version().pid == vm.pid, f"{qmp.events}")
        vm.update(BUILD_2)  # the monitor's client asks for it
        qmp.wait_for(*EXEC)
        return f"{N_UPDATES} updates, pauses of {sorted(downtimes)[len(downtimes) // 2]} us"


def what_waits_goes_along(accel):
    with with_qmp(accel) as (vm, path):
        half, full, asker, new = Qmp(path), Qmp(path), Qmp(path), Qmp(path, negotiate=False)
        half.send_text('{"execute": "query-ver')
        asked = 1200  # more than a socket holds
        sent = 0
        full.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for sent in range(asked):
                full.send_text(json.dumps({"execute": "query-commands", "id": sent}) + "\n")
        full.socket.settimeout(PATIENCE)
        asker.set_command(BUILD_2, *vm.options)
        asker.send_text('{"execute": "migrate", "id": 1} {"execute": "query-version", "id": 2}')
        claim(asker.receive() == {"return": {}, "id": 1}, "another answer")
        asker.wait_for("STOP", "RESUME")
        answer = asker.receive()
        claim(answer["id"] == 2 and answer["return"]["qemu"]["major"] == 2, f"{answer}")
        half.wait_for("STOP", "RESUME")
        half.send_text('sion", "id": "x"}')
        answer = half.receive()
        claim(answer["id"] == "x" and answer["return"]["qemu"]["major"] == 2, f"{answer}")
        for number in range(sent):
            claim(full.receive()["id"] == number, f"not the answer to {number}")
        full.wait_for("STOP", "RESUME")
        new.ask("qmp_capabilities")  # it was told nothing before that
        claim(not new.events, f"{new.events}")
        return f"half a message, {sent} commands without a reader"


def a_client_goes_along_in_a_transfer(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path)
        qmp.set_events()
        ticks = vm.wait_for_ticks().ticks
        successor = Successor(vm)
        qmp.ask("migrate-set-parameters", mode="cpr-transfer")
        qmp.ask("migrate", uri=successor.uri)
        qmp.wait_for(*EXEC)
        claim(vm.popen.wait(600) == 0, f"the old process ended with {vm.popen.returncode}")
        follow(vm, successor)
        claim(qmp.ask("query-version")["qemu"]["major"] == 2, "the old program answers")
        claim(qmp.ask("query-migrate")["status"] == "completed", "it isn't completed")
        claim(Qmp(path).ask("query-status")["running"], "no second client")
        vm.wait_for_ticks(ticks)
        return "to another process"


def a_failure_is_told_once(accel):
    with with_qmp(accel, "--no-preflight") as (vm, path):
        qmp = Qmp(path)
        qmp.set_events()
        qmp.set_command("/nonexistent")
        qmp.ask("migrate")
        qmp.wait_for("setup", "active", "failed")
        claim("/nonexistent" in qmp.ask("query-migrate")["error-desc"], f"{qmp.ask('query-migrate')}")
        seen = []
        for step, way in (("new", "error"), ("load", "error"), ("load", "segv"), ("start", "kill")):
            qmp.set_command(BUILD_2, *vm.options, "--fail-at", step, "--fail-by", way)
            qmp.send_text('{"execute": "migrate", "id": 1}{"execute": "query-migrate", "id": 2}')
            claim(qmp.receive() == {"return": {}, "id": 1}, "another answer")
            info = qmp.receive()
            claim(info["id"] == 2 and info["return"]["status"] == "failed" and info["return"]["error-desc"], f"{info}")
            qmp.wait_for("setup", "active", "STOP", "RESUME", "failed")
            if way == "kill":
                vm.follow()
            seen.append(info["return"]["x-cpr"]["outcome"])
            vm.wait_for_ticks(vm.guest().ticks)
        return ", ".join(seen)


def a_save_can_be_watched_and_cancelled(accel):
    with with_qmp(accel, "--guest", "memcheck") as (vm, path), tempfile.TemporaryDirectory(prefix="cpr-") as own:
        qmp, other = Qmp(path), Qmp(path)
        qmp.set_events()
        poll(lambda: vm.guest().passes, "for RAM that isn't empty")
        os.mkfifo(own + "/go")
        qmp.ask("migrate-set-parameters", mode="cpr-reboot")
        qmp.ask("migrate", uri=f"exec:cat {own}/go > /dev/null; cat > /dev/null")  # it reads nothing before it may
        poll(vm.process.children, "for the save to begin")
        other.send_text(json.dumps({"execute": "query-migrate", "id": 1}) + json.dumps({"execute": "stop", "id": 2}) +
                        json.dumps({"execute": "migrate_cancel", "id": 3}))
        with open(own + "/go", "wb"):
            pass
        answers = [other.receive() for _ in range(3)]
        claim(answers[0]["return"]["status"] == "active" and answers[0]["return"]["ram"]["total"] > 0, f"{answers}")
        claim("being saved" in answers[1]["error"]["desc"] and answers[2] == {"return": {}, "id": 3}, f"{answers}")
        qmp.wait_for("setup", "active", "STOP", "RESUME", "cancelled")
        claim(qmp.ask("query-migrate")["status"] == "cancelled", "it wasn't cancelled")
        qmp.ask("migrate", uri=f"file:{own}/state")
        qmp.wait_for("setup", "active", "STOP", "completed")
        claim(qmp.ask("query-status")["status"] == "postmigrate" and "handed over" in qmp.refuse("cont"), "it goes on")
        qmp.ask("quit")
        claim(vm.popen.wait(PATIENCE) == 0, "it failed")
        vm.ended = True
        return f"cancelled at {answers[0]['return']['ram']['transferred']} bytes, then saved"


def an_operator_decides_by_qmp(accel):
    with with_qmp(accel) as (vm, path):
        qmp = Qmp(path)
        qmp.set_events()
        ticks = vm.wait_for_ticks().ticks
        for build, command in ((1, "migrate_cancel"), (2, "migrate-incoming")):
            qmp.set_command(BUILD_2, *vm.options, "--incoming", "defer")
            qmp.ask("migrate", uri="file:unused")
            qmp.wait_for("setup", "active", "STOP")
            claim(qmp.ask("query-status") == {"running": False, "status": "inmigrate"}, "the program doesn't wait")
            claim(qmp.ask("query-version")["qemu"]["major"] == 2, "another program waits")
            claim("isn't here yet" in qmp.refuse("stop"), "it stops what isn't here")
            qmp.ask(command, **({"uri": "file:unused"} if build == 2 else {}))
            # What waited when the guest was stopped is told again by the old program.
            qmp.wait_for(*(("RESUME", "completed") if build == 2 else ("setup", "active", "STOP", "RESUME", "failed")))
            claim(qmp.ask("query-version")["qemu"]["major"] == build, "another program has the guest")
            ticks = vm.wait_for_ticks(ticks).ticks
        return "given back, and let go on"


# ---- Clients that aren't ours ----

def find_package():
    """The folder that has QEMU's own Python package, or ""; None: it isn't there."""
    for folder in (os.environ.get("CPR_TEST_QMP", ""), ""):
        environment = {**os.environ, "PYTHONPATH": folder}
        look = subprocess.run([sys.executable, "-c", "import qemu.qmp"], env=environment, stderr=subprocess.DEVNULL, check=False)
        if look.returncode == 0:
            return folder
    return None


def qemus_own_python_package_stays_connected(accel):
    folder = find_package()
    if folder is None:
        return "SKIP: there is no Python package qemu.qmp; CPR_TEST_QMP may name a folder that has it"
    with with_qmp(accel) as (vm, path):
        environment = {**os.environ, "PYTHONPATH": folder}
        commands = [json.dumps([build, *vm.options]) for build in (BUILD_2, BUILD_1) * 5]
        run = subprocess.run([sys.executable, os.path.join(HERE, "qmp-client.py"), path, *commands], env=environment, timeout=300,
                             capture_output=True, text=True, check=False)
        claim(run.returncode == 0 and run.stdout.count("updated") == 10, f"{run.stdout}{run.stderr}")
        shell = subprocess.run([sys.executable, "-m", "qemu.qmp.qmp_shell", path], env=environment, timeout=60,
                               input="query-status\nstop\nquery-status\nmigrate-set-parameters mode=cpr-transfer\nnonsense\n",
                               capture_output=True, text=True, check=False)
        claim(shell.returncode == 0 and '"paused"' in shell.stdout and "CommandNotFound" in shell.stdout, f"{shell.stdout}{shell.stderr}")
        claim(vm.status().startswith("paused"), vm.status())
        return "ten updates under one connection, and qmp-shell"


def go_qemu_stays_connected(accel):
    if os.environ.get("CPR_TEST_FAULTS") != "all":
        return "SKIP: it takes half a minute to compile; CPR_TEST_FAULTS=all does it"
    if not shutil.which("go") or not os.path.isdir(GO_SOURCES + "/github.com/digitalocean/go-qemu"):
        return "SKIP: golang-go or golang-github-digitalocean-go-qemu-dev is missing"
    with with_qmp(accel) as (vm, path), tempfile.TemporaryDirectory(prefix="cpr-") as own:
        environment = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOCACHE": own + "/cache", "GOFLAGS": ""}
        commands = [json.dumps([build, *vm.options]) for build in (BUILD_2, BUILD_1) * 3]
        run = subprocess.run(["go", "run", os.path.join(HERE, "qmp-client.go"), path, *commands], env=environment, timeout=400,
                             capture_output=True, text=True, check=False)
        claim(run.returncode == 0 and run.stdout.count("updated") == 6, f"{run.stdout}{run.stderr}")
        return "six updates under one connection"


if __name__ == "__main__":
    refused = subprocess.run([BUILD_1, "--qmp", "unix:/nonexistent/q", "--accel", "soft"], stderr=subprocess.PIPE, timeout=60, check=False)
    if b"without QMP" in refused.stderr:
        print("SKIP: jansson is missing (Debian: libjansson-dev), so minivmm was built without QMP")
        sys.exit(77)
    main(answers_come_with_their_ids, a_wrong_message_is_refused_and_changes_nothing, a_message_may_come_in_any_parts,
         too_long_a_message_ends_only_its_client, run_state_is_told_once_whoever_changes_it, its_end_is_told, a_client_sees_many_execs,
         what_waits_goes_along, a_client_goes_along_in_a_transfer, a_failure_is_told_once, a_save_can_be_watched_and_cancelled, an_operator_decides_by_qmp,
         qemus_own_python_package_stays_connected, go_qemu_stays_connected)
