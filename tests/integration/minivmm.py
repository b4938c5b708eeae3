# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the integration tests share: start a minivmm, talk to its monitor, look at its process from outside.

A test is a function whose name is its claim. It takes an accelerator, raises where the claim doesn't hold and returns
what it saw, which `main` prints. Nothing here waits for ever, and nothing waits without looking: see `poll`."""
import collections
import contextlib
import ctypes
import errno
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

top = os.path.abspath(os.environ.get("top_builddir", os.path.join(os.path.dirname(__file__), "..", "..", "build")))
EXAMPLE = os.path.join(top, "examples", "minivmm", "minivmm")
BUILD_1 = os.path.join(top, "tests", "vmm", "minivmm")
BUILD_2 = os.path.join(top, "tests", "vmm", "minivmm-next")
BUILD_3 = os.path.join(top, "tests", "vmm", "minivmm-later")
BUILD_WRONG = os.path.join(top, "tests", "vmm", "minivmm-wrong")
PROMPT = b"(minivmm) "
# Seconds; long enough for a sanitizer build on a busy machine, as only a failure waits for its end.
PATIENCE = int(os.environ.get("CPR_TEST_PATIENCE", "60"))

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_CHILD_SUBREAPER = 36
SYS_PIDFD_GETFD = 438


class Failure(Exception):
    pass


def claim(condition, message):
    if not condition:
        raise Failure(message)


def poll(look, what, patience=PATIENCE):
    """Looks again and again until `look` finds something true, and returns that."""
    end = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        claim(time.monotonic() < end, f"waited {patience} s in vain: {what}")
        time.sleep(0.002)


# ---- Processes, as /proc shows them ----

def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def status_field(pid, name):
    return re.search(rf"^{name}:\s*(.*)$", read("/proc", str(pid), "status").decode(), re.M)[1]


Task = collections.namedtuple("Task", "pid parent comm state")


def all_processes():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                before, _, after = read("/proc", name, "stat").decode(errors="replace").rpartition(")")
            except OSError:
                continue  # it ended
            state, parent = after.split()[:2]
            found.append(Task(int(name), int(parent), before.partition("(")[2], state))
    return found


def descendants(pid):
    """Everything below a process, zombies too."""
    processes, family = all_processes(), {pid}
    while True:
        more = {p.pid for p in processes if p.parent in family} - family
        if not more:
            return [p for p in processes if p.pid in family and p.pid != pid]
        family |= more


def wake(pid):
    """What works at idle priority gets the priority of everybody else, as far as we may."""
    try:
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        pass  # it ended, or we mayn't


class Process:
    """One process, looked at from outside."""

    def __init__(self, pid):
        self.pid = pid
        self.proc = f"/proc/{pid}"

    def fds(self):
        """number → what it is"""
        found = {}
        for name in os.listdir(self.proc + "/fd"):
            try:
                found[int(name)] = os.readlink(f"{self.proc}/fd/{name}")
            except FileNotFoundError:
                pass
        return found

    def fds_and_flags(self):
        """number → what it is, its flags as fdinfo has them, close-on-exec included"""
        flags = lambda fd: re.search(rb"^flags:\s*(\w+)", read(f"{self.proc}/fdinfo/{fd}"), re.M)[1].decode()
        return {fd: (what, flags(fd)) for fd, what in self.fds().items()}

    def fd_kinds(self):
        """What is open, whatever the numbers."""
        return sorted(self.fds().values())

    def mappings(self):
        """Of a sanitizer build only those of files: its allocator maps as it likes."""
        lines = read(self.proc, "maps").decode(errors="replace").splitlines()
        kib = int(status_field(self.pid, "VmSize").split()[0])
        return [line for line in lines if " /" in line] if kib > 1 << 30 else lines

    def threads(self):
        """number → name; without a thread that the kernel gives to each user of KVM at some time"""
        found = {}
        for tid in os.listdir(self.proc + "/task"):
            try:
                found[int(tid)] = read(self.proc, "task", tid, "comm").decode(errors="replace").strip()
            except OSError:
                pass  # it ended
        return {tid: name for tid, name in found.items() if not name.startswith("kvm-nx-lpage")}

    def children(self):
        return [p for p in all_processes() if p.parent == self.pid]

    def main_children(self):
        """Those that its main thread made; quick where the kernel can say so."""
        try:
            return [int(pid) for pid in read(self.proc, "task", str(self.pid), "children").split()]
        except FileNotFoundError:
            return [p.pid for p in self.children()]

    def comm(self):
        try:
            return read(self.proc, "comm").decode(errors="replace").strip()
        except OSError:
            return None  # it ended

    def environment(self):
        """What it was started with."""
        return [text.decode(errors="replace") for text in read(self.proc, "environ").split(b"\0") if text]

    def pending_signals(self):
        bits = int(status_field(self.pid, "ShdPnd"), 16) | int(status_field(self.pid, "SigPnd"), 16)
        return {number for number in range(1, 65) if bits >> (number - 1) & 1}

    def blocked_signals(self):
        bits = int(status_field(self.pid, "SigBlk"), 16)
        return {number for number in range(1, 65) if bits >> (number - 1) & 1}

    def copy_fd(self, fd):
        """A copy of one of its fds: the same open file."""
        pidfd = os.pidfd_open(self.pid)
        copy = libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
        error = ctypes.get_errno()
        os.close(pidfd)
        if copy < 0:
            raise OSError(error, f"pidfd_getfd: {os.strerror(error)}")
        return copy

    def state(self):
        return status_field(self.pid, "State")[0]

    def is_alive(self):
        try:
            return status_field(self.pid, "State")[0] not in "ZX"
        except OSError:
            return False


# ---- The monitor ----

class Closed(Exception):
    """The monitor's other end went away."""


class Client:
    """A connection to the monitor. Every wait ends."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.buffer = b""
        self.banner = self.receive()

    def send(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def receive(self):
        """The next answer, without its prompt."""
        while PROMPT not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                raise Failure(f"the monitor hasn't answered for {PATIENCE} s; so far {self.buffer!r}") from None
            except ConnectionError:
                data = b""
            if not data:
                raise Closed(f"the monitor closed the connection; so far {self.buffer!r}")
            self.buffer += data
        answer, _, self.buffer = self.buffer.partition(PROMPT)
        return answer.decode()

    def ask(self, line):
        self.send(line)
        return self.receive()

    def command(self, line):
        """A command that has nothing to say."""
        answer = self.ask(line)
        claim(answer == "", f"'{line}' answers {answer!r}")

    def info(self, what):
        """`info WHAT` as a dictionary."""
        answer = self.ask("info " + what)
        claim("Error" not in answer.split(":")[0], f"'info {what}' answers {answer!r}")
        return dict(line.split(": ", 1) for line in answer.splitlines())

    def close(self):
        self.socket.close()


Guest = collections.namedtuple("Guest", "ticks passes progress errors gap_us doubled")
Steps = collections.namedtuple("Steps", "status error generation guardian step_us pause_us total_us")
Version = collections.namedtuple("Version", "build pid accel")


# ---- The VM ----

class MiniVmm:
    """A running minivmm, to be used with `with`: where all went well it ends by `quit`, with exit code 0 and nothing
    left over; where not, what it printed is shown; and in any case it and all that came of it is gone afterwards."""

    def __init__(self, accel, *options, binary=BUILD_1, prefix=(), environment=None, pass_fds=(), preexec=None):
        self.directory = tempfile.mkdtemp(prefix="cpr-")
        self.socket_path = os.path.join(self.directory, "m")
        self.options = [*(["--accel", accel] if accel else []), "--monitor", self.socket_path, *os.environ.get("CPR_TEST_OPTIONS", "").split(), *options]
        self.clients = []
        self.ended = False  # the test has seen to its end itself
        # Not a file: a test may limit the size of files.
        self.stderr, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.popen = subprocess.Popen([binary, *prefix, *self.options], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=write_end, env=environment,
                                          pass_fds=pass_fds, preexec_fn=preexec)
        finally:
            os.close(write_end)
        self.printed = b""
        self.pid = self.popen.pid
        started.add(self.pid)
        self.process = Process(self.pid)
        self.monitor = None

    def __enter__(self):
        try:
            self.monitor = poll(self.try_connect, "for the monitor's socket")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None and not self.ended:
                self.quit()
        except BaseException as failure:
            kind = failure
            raise
        finally:
            self.clean_up()
            if kind is not None:
                print("minivmm printed:", *self.messages().splitlines(), sep="\n  | ")
            os.close(self.stderr)

    def clean_up(self):
        for client in self.clients:
            client.close()
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(PATIENCE)
        end_orphans()
        self.messages()
        shutil.rmtree(self.directory)

    def messages(self):
        """All that it has printed."""
        try:
            while True:
                data = os.read(self.stderr, 65536)
                if not data:
                    break
                self.printed += data
        except BlockingIOError:
            pass
        return self.printed.decode(errors="replace")

    def try_connect(self):
        claim(self.popen.poll() is None, f"minivmm ended with {self.popen.returncode}")
        try:
            return self.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def connect(self):
        client = Client(self.socket_path)
        self.clients.append(client)
        return client

    def is_listening(self):
        """Does anybody, whoever it is, listen at its monitor's socket?"""
        probe = socket.socket(socket.AF_UNIX)
        probe.setblocking(False)
        try:
            probe.connect(self.socket_path)
            return True
        except BlockingIOError:  # somebody does, and doesn't accept just now
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        finally:
            probe.close()

    # What the monitor says

    def guest(self):
        info = self.monitor.info("guest")
        return Guest(int(info["ticks"]), int(info["passes"]), int(info["progress"]), int(info["memory errors"]),
                     int(info["longest gap"].split()[0]), info.get("run by two programs"))

    def status(self):
        return self.monitor.info("status")["VM status"]

    def version(self):
        build, pid, accel = re.fullmatch(r"minivmm build (\d+), pid (\d+), accel (\w+)\n",
                                         self.monitor.ask("info version")).groups()
        return Version(int(build), int(pid), accel)

    def migration(self):
        info = self.monitor.info("migrate")
        us = lambda key: int(info[key].split()[0])
        steps = {key[len("step "):]: us(key) for key in info if key.startswith("step ")}
        return Steps(info["status"], info.get("error"), int(info["generation"]), info["guardian"] == "yes", steps,
                     us("pause"), us("total"))

    def ram_hash(self):
        """Of a paused guest."""
        return self.monitor.info("ram")["hash"]

    # Updates

    def set_command(self, *argv):
        self.monitor.command("migrate_set_parameter cpr-exec-command " + " ".join(shlex.quote(arg) for arg in argv))

    def send_update(self, binary=BUILD_2, options=(), prefix=(), argv=None):
        """Asks for an update and doesn't wait: to the binary with our options and then `options`, or to `argv`."""
        self.set_command(*(argv or [*prefix, binary, *self.options, *options]))
        self.monitor.send("migrate -d")

    def try_update(self, *args, **kwargs):
        """Asks for an update; what the monitor answers."""
        self.send_update(*args, **kwargs)
        return self.monitor.receive()

    def update(self, *args, **kwargs):
        """An update that has to work; the pause in µs."""
        return get_pause(self.try_update(*args, **kwargs))

    # Waiting

    def wait_for_ticks(self, after=0):
        """The guest runs: it has ticked since."""
        def look():
            guest = self.guest()
            claim(not guest.doubled, f"two programs ran the guest, {guest.doubled}")
            claim(guest.ticks >= after, f"the ticks went back from {after} to {guest.ticks}")
            return guest if guest.ticks > after else None
        return poll(look, f"the guest doesn't tick on from {after}")

    def wait_for_interrupts(self, before):
        """On AArch64 the guest "ticker" gets interrupts through the ITS as well, which are its passes: one has come since. The next one
        is raised when that one has come."""
        if platform.machine() == "aarch64" and self.version().accel == "kvm":
            poll(lambda: self.guest().passes > before.passes, f"no interrupt comes through the ITS after the {before.passes} that came")

    def follow(self):
        """After a rescue the VM is another process: this test's child now, since it gets all orphans. How the former one
        ended, as wait() has it."""
        _, status = os.waitpid(self.pid, 0) if self.popen.returncode is None else (0, 0)
        self.popen.returncode = status
        self.pid = self.version().pid
        started.add(self.pid)
        self.process = Process(self.pid)
        self.popen = Adopted(self.pid)
        return status

    def settle(self):
        """Waits until nothing is left of the last update, on a busy machine too."""
        def look():
            migration = self.migration()
            left = [child.pid for child in self.process.children()]
            # Guardians of the process that a rescue has replaced: they end by themselves, a bit later than they let go.
            left += [p.pid for p in orphans() if p.comm == "cpr-guardian" and p.pid != self.pid]
            left += [tid for tid, name in self.process.threads().items() if name == "cpr-finish"]
            for tid in left:
                wake(tid)
            # The time of the last step is there when its thread is at its end; that has its name a bit after its begin.
            return not left and (migration.status in ("none", "failed") or migration.step_us["finish"] > 0)
        poll(look, "for the end of what is left of the update")

    def wait_for_end(self):
        """Waits until the process is gone, and everything that came of it; the exit code."""
        code = self.popen.wait(PATIENCE)
        poll(lambda: not orphans(), "for the end of what came of minivmm")
        self.ended = True
        return code

    def quit(self):
        """Ends it in order, with all that has to be true then."""
        self.monitor.command("quit")
        code = self.popen.wait(PATIENCE)
        claim(code == 0, f"after quit: the exit code is {code}")
        left = [process for process in orphans() if process.comm != "cpr-guardian"]
        claim(not left, f"after quit: there is {left}")
        poll(lambda: not orphans(), "for the end of guardians that a rescue has made orphans")
        claim(not os.path.exists(self.socket_path), "after quit: the monitor's socket is still there")
        claim("Sanitizer" not in self.messages() and "runtime error" not in self.messages(), "a sanitizer complains")
        self.ended = True


class Adopted:
    """A child that this process didn't start, to be used like subprocess.Popen."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, patience):
        poll(lambda: self.poll() is not None, f"for the end of process {self.pid}", patience)
        return self.returncode

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


def get_pause(answer):
    """Of an update that has to have worked."""
    match = re.fullmatch(r"Migration status: completed\npause: (\d+) us\n", answer)
    claim(match, f"the update should have worked; the monitor answers {answer!r}")
    return int(match[1])


class Hold:
    """Holds an update between the execve and the new program: `prefix` goes before the new program."""

    def __init__(self, vm):
        self.held, self.release_path = (os.path.join(vm.directory, name) for name in ("held", "release"))
        script = os.path.join(vm.directory, "hold")
        held, release = shlex.quote(self.held), shlex.quote(self.release_path)
        for path in (self.held, self.release_path, script):
            if os.path.exists(path):
                os.unlink(path)
        # One that is asked in a preflight isn't held.
        asked = "case $(readlink /proc/self/fd/3) in *libcpr-question*) exec \"$@\";; esac"
        write_script(script, f'{asked}\necho >{held}\nread line <{release}\nexec "$@"')
        os.mkfifo(self.held)
        os.mkfifo(self.release_path)
        self.fd = os.open(self.held, os.O_RDONLY | os.O_NONBLOCK)
        self.prefix = [script]

    def wait(self):
        def look():
            try:
                return os.read(self.fd, 1)
            except BlockingIOError:
                return None
        poll(look, "for the update to come to the new program")
        os.close(self.fd)

    def release(self):
        def try_open():
            try:
                return os.open(self.release_path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                claim(error.errno == errno.ENXIO, str(error))
                return None
        fd = poll(try_open, "for the held program to listen")
        os.write(fd, b"\n")
        os.close(fd)


def trace_being_asked(vm, directory, forbidden):
    """Asks the next program under strace: it makes no call that `forbidden` matches, and writes nothing but its answer."""
    if not shutil.which("strace"):
        return "SKIP: there is no strace"
    trace = os.path.join(directory, "trace")
    vm.set_command("strace", "-f", "-o", trace, BUILD_2, *vm.options)
    answer = vm.monitor.ask("migrate_check")  # as a child of strace it can't take over, which it says
    if not os.path.exists(trace) or "without an answer" in answer:
        return f"SKIP: strace doesn't work here: {answer.strip()}"
    claim(answer.count("\n") == 1 and "must exec, not fork" in answer, f"{answer!r}")
    with open(trace, encoding="utf-8", errors="replace") as file:
        calls = [line.split(None, 1)[1] for line in file]
    bad = [call for call in calls if forbidden.search(call)]
    claim(not bad, f"it calls {bad}")
    writes = [call for call in calls if re.match(r"(write|writev)\(", call)]
    claim(len(writes) == 1 and writes[0].startswith("write(4, "), f"it writes {writes}")
    return f"{len(calls)} system calls, one write"


def write_script(path, text, interpreter="/bin/sh"):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!{interpreter}\n{text}\n")
    os.chmod(path, 0o755)


# ---- For another user ----

def can_be_entered(path):
    """By every user."""
    while os.stat(path).st_mode & 0o001:
        if path == "/":
            return True
        path = os.path.dirname(path)
    return False


@contextlib.contextmanager
def for_everybody(binary=BUILD_1):
    """A folder that every user can enter and write, and in it a copy of a program, with the library that it needs: the build may lie
    where other users can't go. The folder's path, the program's, and the program's environment."""
    parents = [path for path in (os.path.realpath(tempfile.gettempdir()), "/tmp", "/var/tmp", "/dev/shm")
               if os.path.isdir(path) and can_be_entered(path)]
    claim(parents, "there is no folder for temporary files that every user can enter")
    with tempfile.TemporaryDirectory(prefix="cpr-", dir=parents[0]) as directory:
        library = os.path.join(top, ".libs", "libcpr.so.0")
        for path in (binary, library):
            if os.path.exists(path):  # there is no shared library in a static build
                shutil.copyfile(path, os.path.join(directory, os.path.basename(path)))
                os.chmod(os.path.join(directory, os.path.basename(path)), 0o755)
        os.chmod(directory, 0o777)
        yield directory, os.path.join(directory, os.path.basename(binary)), {**os.environ, "LD_LIBRARY_PATH": directory}


# ---- Orphans: this process is the one that gets them ----

started = set()  # what the test itself started, and will wait for itself


def orphans():
    """What is below this test. Those that came to it and have ended are reaped first."""
    found = []
    for process in descendants(os.getpid()):
        if process.state != "Z" or process.parent != os.getpid():
            found.append(process)
        elif process.pid not in started:
            os.waitpid(process.pid, 0)
    return found


def end_orphans():
    def look():
        for process in orphans():
            try:
                wake(process.pid)
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not orphans()
    poll(look, "for the end of what the test started")


# ---- Running tests ----

def why_no_kvm():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        return None
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"


def run(test, accel):
    begin = time.monotonic()
    try:
        saw, result = test(accel), "ok"
    except Exception:
        traceback.print_exc(file=sys.stdout)
        saw, result = "see above", "FAILED"
    print(f"{result}: {accel}: {test.__name__}: {saw} ({time.monotonic() - begin:.1f} s)", flush=True)
    return result == "ok"


def main(*tests):
    """Runs each test with each accelerator and ends the program. CPR_TEST_ONLY chooses those whose name it is a part
    of, CPR_TEST_ACCEL the accelerators."""
    for binary in (BUILD_1, BUILD_2, BUILD_3, BUILD_WRONG):
        if not os.access(binary, os.X_OK):
            sys.exit(f"there is no {binary}")
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    chosen = os.environ.get("CPR_TEST_ONLY", "")
    n_failed = 0
    for accel in os.environ.get("CPR_TEST_ACCEL", "soft kvm").split():
        if accel == "kvm" and why_no_kvm():
            print(f"SKIP: kvm: {why_no_kvm()}")
            continue
        for test in tests:
            if chosen in test.__name__:
                n_failed += not run(test, accel)
    sys.exit(n_failed > 0)
