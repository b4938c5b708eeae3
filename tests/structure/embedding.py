#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: minivmm needs few lines for libcpr, and none for KVM's state. Counted is each line of code with a word in it that names
something of the library (cpr_, Cpr, CPR_), and all of a function that is there for nothing else (PURPOSE). Comments and tables of
devices' fields don't count. A line counts once: for the topic of its function, or else of the first name in it; in qmp/, and where that is called, for QMP.

    tests/structure/embedding.py --lines [TOPIC...]        also prints the lines"""
import os
import re
import sys

# Topics, and how many lines they may have together. The limits only get lower.
LIMITS = [
    (("session", "fds", "RAM"), 80),
    (("update",), 70),
    (("threads", "KVM", "devices"), 45),
    # What minivmm has beyond that: it shows an operator and tests all there is, travels in three modes, and has assigned devices and
    # memory that can be plugged in.
    (("RAM that grows",), 31), (("what it shows",), 130), (("transfer mode",), 50), (("reboot mode",), 120), (("assigned devices",), 50),
    (("operator's choice",), 51),
    # A second way to steer it, which shows as much again and tells of each step.
    (("QMP",), 75),
]

# The functions that are there for the update only; `*`: all of the file.
PURPOSE = {
    "main.c": {"session": "stop_guest start_guest log_message open_session", "transfer mode": "cancel_update"},
    "options.c": {"operator's choice": "set_capable"},
    "vm.c": {"KVM": "vm_loaded"},
    "parts.c": {"RAM that grows": "grow_ram"},
    "guests/guests.c": {"RAM that grows": "guest_tell_ram", "what it shows": "guest_claim guest_release"},
    "accel/kvm.c": {"KVM": "kvm_loaded", "RAM that grows": "kvm_add_ram"},
    "accel/kvm-vfio.c": {"assigned devices": "slots_are_right kvm_vfio_loaded"},
    "devices/disk.c": {"transfer mode": "disk_hold pass_on"},
    "devices/vfio.c": {"assigned devices": "add_state describe_mapping"},
    "monitor/monitor.c": {"devices": "monitor_post_load",
                          "transfer mode": "monitor_leave owns_guest", "reboot mode": "serve_line serve_client monitor_serve"},
    "monitor/loop.c": {"update": "begin"},
    "monitor/wait.c": {"operator's choice": "monitor_choose_incoming monitor_wait"},
    "monitor/commands.c": {"operator's choice": "command_accept_guest", "update": "migrate", "RAM that grows": "ram_grow",
                           "what it shows": "has_guest describe_fd info_fds info_migrate info_blockers set_parameter "
                                            "set_capability migrate_check"},
    "update.c": {"operator's choice": "update_is_deferred update_went_well",
                 "update": "update_add update_set_mode update_set_command get_argv make_update update_run",
                 "transfer mode": "update_has_left update_is_transferred",
                 "reboot mode": "report_progress confirm_pipe save_to save update_name_incoming "
                                "update_open_incoming",
                 "what it shows": "notice_event update_check to_us describe_events update_describe "
                                  "describe_blocker update_describe_blockers update_describe_end"},
    "support/pipe.c": {"reboot mode": "spawn above_streams pipe_open pipe_close", "operator's choice": "pipe_copy_fd"},
}
# The topic of a name: the first that matches.
NAMES = [
    ("threads", r"cpr_gate|CprGate"),
    ("assigned devices", r"cpr_\w*(vfio|dma)|Cpr\w*(Vfio|Dma)|CPR_(VFIO|DMA)"),
    ("KVM", r"cpr_\w*kvm|CprKvm"),
    ("fds", r"cpr_fd|cpr_inventory_add_fd"),
    ("RAM that grows", r"cpr_ram_(?:grow|block_get_size)"),
    ("RAM", r"cpr_ram|cpr_inventory_add_ram|CprRam|CPR_RAM"),
    ("devices", r"cpr_device|cpr_inventory_add_device|CprDevice|CprInventory"),
    ("update", r"cpr_session_(update|preflight|cancel|get_update_info)|cpr_notifier|Cpr(Update|Mode|Event)|CPR_(UPDATE|MODE|EVENT)"),
    ("what it shows", r"cpr_(session_(pause|resume|suspend|wakeup|get_run_state)|preflight|blocker|step)|Cpr(RunState|Preflight|Finding|Step)|"
                r"CPR_(RUN_STATE|SEVERITY|STEP)"),
    ("session", r""),
]
FOR_QMP = re.compile(r"\bqmp_(?:stopped|started|serve|leave) \(|\bupdate_get_mode_name\b")
NAME = re.compile(r"\b(?:cpr_|Cpr[A-Z]|CPR_)\w*")
TABLE = re.compile(r"^(?:static )?(?:extern )?const Cpr(?:Field|Struct|DeviceType) ")
# What reads or sets state that KVM keeps. At power-on minivmm gives its vCPUs a CPUID and enters long mode, or on AArch64 gives them
# their first registers and the GIC its addresses. It shows where a vCPU failed, and how fast the TSC is.
KVM_STATE = re.compile(r"\bKVM_(?:GET|SET)_(?!SUPPORTED_CPUID|VCPU_MMAP_SIZE|API_VERSION|USER_MEMORY_REGION|TSS_ADDR)\w+|"
                       r"\bKVM_KVMCLOCK_CTRL\b|\bstruct kvm_(?:msrs|xsave|fpu|xcrs|lapic_state|vcpu_events|debugregs|clock_data|irqchip|"
                       r"pit_state2|nested_state)\b")
KVM_POWER_ON = {"enter_long_mode", "kvm_arch_reset", "choose_cpuid", "kvm_arch_get_pc", "kvm_arch_get_counter_khz",
                "set_attribute"}

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
minivmm = os.path.join(top, "examples", "minivmm")
faults = 0


def fault(message):
    global faults
    faults += 1
    print(message)


def sources():
    for root, folders, names in os.walk(minivmm):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(root, name), minivmm)


def read(path):
    with open(os.path.join(minivmm, path), encoding="utf-8") as file:
        text = file.read()
    return re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.DOTALL).split("\n")


def find_functions(lines):
    """Of each line: the function that it is part of, with what stands before its name; or None."""
    owner, begin, name = [None] * len(lines), 0, None
    for i, line in enumerate(lines):
        found = re.match(r"(\w+) \(", line)
        if found and name is None and i > 0 and lines[i - 1].strip():
            begin, name = i - 1, found[1]
        if name and line.endswith(";") and not line.startswith((" ", "{", "}")):
            name = None  # a declaration
        if line == "}" and name:
            owner[begin:i + 1] = [name] * (i + 1 - begin)
        if line.startswith("}"):
            name = None
    return owner


def find_tables(lines):
    """The lines of tables of fields, and of what describes a type."""
    inside, tables = False, set()
    for i, line in enumerate(lines):
        inside = inside or bool(TABLE.match(line))
        if inside:
            tables.add(i)
            inside = not line.rstrip().endswith(";")
    return tables


def topic_of(path, function, line):
    if FOR_QMP.search(line) or (path.startswith("qmp/") and NAME.search(line)):
        return "QMP"
    for topic, names in (PURPOSE.get(path, {}) if re.search(r"\w", line) else {}).items():
        if names == "*" or function in names.split():
            return topic
    name = NAME.search(line)
    return name and next(topic for topic, names in NAMES if re.match(names, name[0]))


def check_purposes(path, functions):
    """So that the list stays right."""
    for names in PURPOSE.get(path, {}).values():
        for name in names.split():
            if name != "*" and name not in functions:
                fault(f"examples/minivmm/{path}: PURPOSE names {name}(), which isn't there")


def count():
    found = {topic: [] for topics, _ in LIMITS for topic in topics}
    for path in sources():
        lines = read(path)
        functions, tables = find_functions(lines), find_tables(lines)
        check_purposes(path, functions)
        for i, line in enumerate(lines):
            topic = None if i in tables else topic_of(path, functions[i], line)
            if topic:
                found[topic].append(f"examples/minivmm/{path}:{i + 1}: {line}")
            if KVM_STATE.search(line) and functions[i] not in KVM_POWER_ON:
                fault(f"examples/minivmm/{path}:{i + 1}: KVM's state is the library's: {line.strip()}")
    for path in set(PURPOSE) - set(sources()):
        fault(f"examples/minivmm/{path}: PURPOSE names it, and it isn't there")
    return found


def main():
    found = count()
    wanted = sys.argv[2:] or list(found)
    for topic, lines in found.items():
        if sys.argv[1:2] == ["--lines"] and topic in wanted:
            print("\n".join(lines))
    for topics, limit in LIMITS:
        n, what = sum(len(found[topic]) for topic in topics), " + ".join(f"{topic} {len(found[topic])}" for topic in topics)
        print(f"{n:4} of at most {limit:3} lines: {what}")
        if n > limit:
            fault(f"{what}: {n} lines, at most {limit} are allowed")
    print(f"{sum(map(len, found.values()))} lines, {faults} faults")
    sys.exit(faults > 0)


main()
