# SPDX-License-Identifier: LGPL-2.1-or-later
"""Not a test: examples/linuxvmm with a Linux guest, for the tests of it. The guest's only program is tests/vm/linux-guest.c.

CPR_TEST_EXECS and CPR_TEST_TRANSFERS say how many updates (6 and 3). CPR_TEST_KERNEL names the guest's kernel; else it is this
machine's own. CPR_TEST_APPEND is added to its command line, with semicolons for spaces."""
import contextlib
import glob
import lzma
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

from minivmm import PATIENCE, Failure, claim, descendants, main, poll, read, top

VMM = os.path.join(top, "examples", "linuxvmm", "linuxvmm")
PROGRAM = os.path.join(top, "tests", "vm", "linux-guest")
N_EXECS = int(os.environ.get("CPR_TEST_EXECS", "6"))
N_TRANSFERS = int(os.environ.get("CPR_TEST_TRANSFERS", "3"))
N_CPUS = 2
MODULES = ("virtio_ring", "virtio", "virtio_mmio", "virtio_blk", "failover", "net_failover", "virtio_net", "virtio-rng")
COMMANDS = ["update /proc/self/exe"] * N_EXECS + [f"transfer {VMM}"] * N_TRANSFERS
BOOT_PATIENCE = 5 * PATIENCE
CMDLINE = "console=ttyS0 loglevel=5 " + os.environ.get("CPR_TEST_APPEND", "").replace(";", " ")
# What Linux says when time or interrupts went missing, or worse.
COMPLAINT = re.compile(r"lockup|stall|unstable|skew|hung|lost|nobody cared|too long|BUG|WARNING|Oops|Call Trace|clocksource|watchdog")
TICK = re.compile(r"^tick (\d+) passes (\d+) memory (\d+) clock (\d+) float (\d+) sleep (\d+) us$", re.M)


def find_kernel():
    """None: there is no kernel that we may read."""
    named = os.environ.get("CPR_TEST_KERNEL")
    found = [named] if named else sorted(glob.glob("/boot/vmlinuz-*"))
    return next((path for path in reversed(found) if os.access(path, os.R_OK)), None)


def what_is_missing():
    if not os.path.exists(VMM):
        return "linuxvmm is for x86-64"
    if not os.path.exists(PROGRAM):
        return "tests/vm/linux-guest wasn't built: there is no static C library"
    if os.path.exists("/sys/module/kvm_pvm"):
        return "kvm_pvm doesn't execute all instructions of a kernel"
    return None if find_kernel() else "there is no kernel in /boot that this user may read, and CPR_TEST_KERNEL names none"


# ---- An initramfs of one program: the format newc of cpio. ----

def pack(name, mode, data=b"", device=(0, 0)):
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)


def make_initramfs(path, modules):
    with open(PROGRAM, "rb") as file:
        program = file.read()
    parts = [pack("dev", stat.S_IFDIR | 0o755), pack("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
             pack("init", stat.S_IFREG | 0o755, program)]
    if modules is not None:
        parts.append(pack("modules", stat.S_IFDIR | 0o755))
        parts += [pack(f"modules/{number}", stat.S_IFREG | 0o644, module) for number, module in enumerate(modules)]
    with open(path, "wb") as file:
        file.write(b"".join(parts) + pack("TRAILER!!!", 0))


def read_modules():
    """Those that virtio devices need, in the order of loading, as far as the kernel hasn't got them built in. None: one is missing."""
    tree = "/lib/modules/" + os.path.basename(find_kernel()).partition("-")[2]
    with contextlib.suppress(OSError), open(os.path.join(tree, "modules.builtin"), encoding="utf-8") as file:
        builtin = {os.path.basename(line.strip()) for line in file}
        return [load_module(tree, name) for name in MODULES if name + ".ko" not in builtin]
    return [load_module(None, name) for name in MODULES]


def load_module(tree, name):
    places = [f"/modules/{name}.ko"] + (glob.glob(f"{tree}/kernel/**/{name}.ko*", recursive=True) if tree else [])
    path = next((path for path in places if os.path.exists(path)), None)
    claim(path and path.endswith((".ko", ".xz")), f"{name}: there is no module of that name that can be unpacked here")
    with lzma.open(path) if path.endswith(".xz") else open(path, "rb") as file:
        return file.read()


# ---- The VM. ----

class Vm:
    def __init__(self, folder, *options, modules=None):
        self.output = os.path.join(folder, "output")
        self.control = os.path.join(folder, "control")
        initramfs = os.path.join(folder, "initramfs")
        make_initramfs(initramfs, modules)
        self.command = [VMM, "--kernel", find_kernel(), "--initrd", initramfs, "--append", CMDLINE, "--memory", "128M",
                        "--cpus", str(N_CPUS), "--control", self.control, *options]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=output)
        self.n_times = 0

    def text(self):
        with open(self.output, "rb") as file:
            return file.read().decode(errors="replace").replace("\r", "")

    def wait_for(self, pattern, what, patience=PATIENCE):
        """A line that ends in a number ends in `\\n` in the pattern: `$` is also where the guest has got to so far."""
        return poll(lambda: re.search(pattern, self.text(), re.M), f"for {what}; the end of what the guest printed: {self.text()[-2000:]}",
                    patience)

    def tell_guest(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2 * PATIENCE)
            connection.connect(self.control)
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode().strip()

    def ticks(self):
        return [tuple(map(int, match.groups())) for match in TICK.finditer(self.text())]

    def wait_for_ticks(self, n=2):
        """Some more of them, which are asked for, so that nobody waits for the guest's sleep."""
        wanted = len(self.ticks()) + n
        poll(lambda: len(self.ticks()) >= wanted, f"for {n} more lines; the end: {self.text()[-2000:]}")

    def time(self):
        """Asks the guest's clock: (before, its answer, after), in seconds."""
        self.n_times += 1
        before = time.monotonic()
        self.tell_guest(f"t {self.n_times}")
        answer = self.wait_for(rf"^time {self.n_times} (\d+)\n", "the guest's time")
        return before, int(answer[1]) / 1e9, time.monotonic()

    def kernel_log(self):
        """The kernel's messages since the last time; the first time none."""
        known = len(re.findall("^END OF KERNEL LOG$", self.text(), re.M))
        self.tell_guest("k")
        poll(lambda: len(re.findall("^END OF KERNEL LOG$", self.text(), re.M)) > known, "for the kernel's messages")
        return re.findall("^KERNEL LOG\n(.*?)^END OF KERNEL LOG$", self.text(), re.M | re.S)[-1].splitlines()

    def wait_for_end(self):
        poll(lambda: not [p for p in descendants(os.getpid()) if p.comm == "linuxvmm" and p.state != "Z"], "for the end of the VMM")


def explain(vm):
    """Of a guest that says nothing any more: whether its vCPUs run or sleep, and whether it answers when it gets an interrupt."""
    print("# what it has printed:", *vm.text().splitlines()[-1000:], sep="\n# ")
    for _ in range(2):
        for process in descendants(os.getpid()):
            for tid in os.listdir(f"/proc/{process.pid}/task"):
                name, _, rest = read(f"/proc/{process.pid}/task/{tid}/stat").decode().partition("(")[2].rpartition(")")
                fields = rest.split()
                print(f"# {process.pid} {tid} {name}: {fields[0]}, {int(fields[11])} + {int(fields[12])} ticks of the CPU")
        before = len(vm.text())
        vm.tell_guest("t 0")
        with contextlib.suppress(Failure):
            poll(lambda: len(vm.text()) > before, "", PATIENCE / 2)
        print(f"# it answers {vm.text()[before:before + 200]!r}", flush=True)


@contextlib.contextmanager
def running(*options, modules=None):
    with tempfile.TemporaryDirectory(prefix="cpr-") as folder:
        vm = Vm(folder, *options, modules=modules)
        try:
            vm.wait_for(r"^GUEST with .*\n", "Linux to boot", BOOT_PATIENCE)
            poll(lambda: (vm.ticks() or [(0, 0)])[-1][1] > 0, "for the first pass", BOOT_PATIENCE)
            yield vm
        except Failure:
            explain(vm)
            raise
        finally:
            for process in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            vm.process.wait()


# ---- What it must be like at the end. ----

def check_ticks(vm):
    ticks = vm.ticks()
    claim([tick[0] for tick in ticks] == list(range(1, len(ticks) + 1)), f"lines are lost, or there twice: {[tick[0] for tick in ticks]}")
    for number, _, *errors, _ in ticks:
        claim(errors == [0, 0, 0], f"tick {number}: {errors} errors of memory, clocks and floating point")
    return ticks


def check_kernel_log(lines):
    complaints = [line for line in lines if COMPLAINT.search(line)]
    claim(not complaints, "\n".join(["the guest's kernel says", *complaints]))
    return len([line for line in lines if line])


def run(*claims):
    if what_is_missing():
        print(f"SKIP: {what_is_missing()}")
        sys.exit(77)
    os.environ["CPR_TEST_ACCEL"] = "kvm"
    main(*claims)
