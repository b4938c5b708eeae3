#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: what one build of a VMM saved loads in the next, in the previous and in the one after the next, with the values
that the table says, while the guest runs; and what can't be loaded is refused, with a line that says why.

CPR_TEST_SECONDS says how long the updates through all pairs of builds go on (10)."""
import collections
import os
import tempfile
import time

from minivmm import BUILD_1, BUILD_2, BUILD_3, BUILD_WRONG, MiniVmm, claim, main, poll

SECONDS = float(os.environ.get("CPR_TEST_SECONDS", "10"))
BINARIES = {1: BUILD_1, 2: BUILD_2, 3: BUILD_3}
# Every ordered pair of builds, each beginning where the last one ended.
CIRCUIT = [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 1), (1, 3), (3, 2), (2, 1)]
# From which build on there is a card.
CARDS = {"watchdog": 2, "crashlog": 3}

# What is set before an update, and what is there after it:
#   =  the same    >  the same, or a bit more, as the guest goes on printing    -  nothing, this build doesn't show it
#   .  the line isn't for this pair    at  the event without its timeout    at0  with a timeout of 0    else the text itself
# Where several lines are for the same value and pair the rounds take turns.
TABLE = """
                                                                     1→1  1→2  1→3  2→1  2→2  2→3  3→1  3→2  3→3
serial: scr            | out 0x3ff {u8}                            | =    =    =    =    =    =    =    =    =
serial: ier            | out 0x3f9 {u3}                            | =    =    =    =    =    =    =    =    =
serial: lcr            | out 0x3fb {u6}                            | =    =    =    =    =    =    =    =    =
serial: tx bytes       | device_set serial tx_bytes {u32}          | >    >    >    >    >    >    >    >    >
serial: tx bytes       | device_set serial tx_bytes {u64}          | .    .    .    .    >    >    .    >    >
serial: flow           | device_set serial flow {bit}              | =    =    =    =    =    =    =    =    =
serial: flow           | device_set serial flow 2                  | .    .    .    .    =    =    .    =    =
serial: fifo depth     | out 0x3fa 0x01                            | -    16   16   -    =    =    -    =    =
serial: fifo depth     | out 0x3fa 0x21                            | -    16   16   .    =    =    .    =    =
serial: fifo depth     | device_set serial fifo_depth {u8}         | .    .    .    .    =    =    .    =    =
serial: interrupted    |                                           | -    0    0    .    .    .    .    .    .
serial: interrupted    | device_set serial interrupted {u32}       | .    .    .    -    =    =    -    =    =
serial: pace           | device_set serial pace_us {u8}            | =    =    -    =    =    -    .    .    .
serial: pace           |                                           | .    .    .    .    .    .    100_us 100_us -
serial: rs485          |                                           | -    -    off_10 -  -    off_10 .    .    .
serial: rs485          | device_set serial rs485 0                 | .    .    .    .    .    .    -    -    off_10
serial: rs485          | device_set serial rs485 1                 | .    .    .    .    .    .    .    .    =
watchdog: timeout      | device_set watchdog timeout {default}     | .    .    .    .    =    =    .    =    =
watchdog: timeout      | device_set watchdog timeout {u32}         | .    .    .    .    =    =    .    =    =
watchdog: deadline     | out 0x600 1                               | .    .    .    .    =    =    .    =    =
watchdog: deadline     | out 0x600 0                               | .    .    .    .    =    =    .    =    =
watchdog: owner        |                                           | .    .    .    .    =    =    .    =    =
watchdog: owner        | device_set watchdog owner somebody {u32}  | .    .    .    .    =    =    .    =    =
watchdog: log          | device_set watchdog log {log}             | .    .    .    .    =    =    .    =    =
watchdog: event 0      |                                           | .    .    .    .    =    at0  .    at   =
watchdog: event 1      |                                           | .    .    .    .    =    at0  .    at   =
watchdog: event 2      |                                           | .    .    .    .    -    -    .    -    -
bus: slot 0            |                                           | =    =    =    =    =    =    =    =    =
bus: slot 1            |                                           | =    =    =    =    =    =    =    =    =
crashlog: bytes        | device_set crashlog fill {u20}            | .    .    .    .    .    .    .    .    =
crashlog: next         | device_set crashlog text last words {u32} | .    .    .    .    .    .    .    .    =
crashlog: hash         | out 0x610 {u8}                            | .    .    .    .    .    .    .    .    =
"""
TEXTS = {"off_10": "off, 10 us before, 10 us after"}

Row = collections.namedtuple("Row", "device key command expected")
Look = collections.namedtuple("Look", "serial bus watchdog crashlog")


def parse_table():
    header, *lines = TABLE.strip("\n").splitlines()
    pairs = [(int(word[0]), int(word[2])) for word in header.split()]
    rows = []
    for line in lines:
        name, command, expected = line.split("|")
        device, key = name.strip().split(": ")
        words = [TEXTS.get(word, word.replace("_", " ")) for word in expected.split()]
        claim(len(words) == len(pairs), f"the table's line '{name.strip()}' has {len(words)} results")
        rows.append(Row(device, key, command.strip(), dict(zip(pairs, words))))
    return rows


def device_options(cards):
    return [word for card in cards for word in ("--device", card)]


def choose_rows(rows, pair, number):
    """Of the lines for one value, one; in turns."""
    by_value = collections.defaultdict(list)
    for row in rows:
        if row.expected[pair] != ".":
            by_value[row.device, row.key].append(row)
    return [choice[number % len(choice)] for choice in by_value.values()]


def look(vm, cards):
    card = lambda name: vm.monitor.info("card " + name) if name in cards else {}
    serial = vm.monitor.ask("info serial")
    return Look(dict(line.split(": ", 1) for line in serial.splitlines()), vm.monitor.info("bus"), card("watchdog"), card("crashlog"))


def numbers(number, build, log):
    """Other values each time."""
    byte = number * 37 % 199 + 1
    return {"u3": byte % 8, "u6": byte % 64, "u8": byte, "bit": byte % 2, "u20": 1000 * byte, "u32": 3000000000 + byte,
            "u64": 2 ** 40 * byte, "default": 30000 if build < 3 else 60000, "log": log}


def make_event(vm, number):
    """The guest is silent for longer than it may."""
    vm.monitor.command("device_set watchdog timeout 1")
    vm.monitor.command("out 0x600 1")
    poll(lambda: f"event {number}" in vm.monitor.info("card watchdog"), "for the watchdog to notice")


def plug(vm, cards, wanted):
    """Leaves in what the next build knows."""
    for card in cards - wanted:
        vm.monitor.command(f"device_del {card}")
    for card in sorted(wanted - cards, reverse=True):  # the watchdog first
        vm.monitor.command(f"device_add {card}")
        if card == "watchdog":
            make_event(vm, 0)
            make_event(vm, 1)
    return wanted


def is_as_expected(expected, before, after):
    if expected == ">":
        return after is not None and int(before) <= int(after) < int(before) + 10000
    wanted = {"=": before, "-": None, "at": (before or "").split(" ")[0],
              "at0": (before or "").split(" ")[0] + " after 0 ms"}
    return after == wanted.get(expected, expected)


def compare(rows, pair, before, after):
    for row in rows:
        was, now = getattr(before, row.device).get(row.key), getattr(after, row.device).get(row.key)
        claim(is_as_expected(row.expected[pair], was, now),
              f"{pair[0]}→{pair[1]}: {row.device}: {row.key} after '{row.command}' was {was!r} and is {now!r}; the table "
              f"says '{row.expected[pair]}'")
    return len(rows)


def every_pair_of_builds_carries_what_the_table_says(accel):
    rows, seen, n_values, cards, number = parse_table(), collections.Counter(), 0, set(), 0
    with tempfile.NamedTemporaryFile(prefix="cpr-") as log, MiniVmm(accel, "--ram", "64M") as vm:
        end = time.monotonic() + SECONDS
        before = vm.wait_for_ticks()
        while number < 3 * len(CIRCUIT) or time.monotonic() < end:
            old, new = pair = CIRCUIT[number % len(CIRCUIT)]
            cards = plug(vm, cards, {card for card, since in CARDS.items() if since <= min(pair)})
            chosen = choose_rows(rows, pair, number // len(CIRCUIT))
            vm.monitor.command("stop")  # or the guest's output may meet the registers half set
            for row in chosen:
                if row.command:
                    vm.monitor.command(row.command.format(**numbers(number, old, log.name)))
            vm.monitor.command("cont")
            saw = look(vm, cards)
            vm.update(BINARIES[new], options=device_options(sorted(cards)))
            version = vm.version()
            claim((version.build, version.pid, version.accel) == (new, vm.pid, accel), f"{pair}: {version}")
            n_values += compare(chosen, pair, saw, look(vm, cards))
            seen.update((row.device, row.key, row.command, pair) for row in chosen)
            before = vm.wait_for_ticks(before.ticks)
            number += 1
        claim(vm.migration().generation == number, f"{vm.migration()} after {number} updates")
        missed = {(row.device, row.key, row.command, pair) for row in rows for pair in CIRCUIT
                  if row.expected[pair] != "."} - set(seen)
        claim(not missed, f"not seen: {missed}")
        return (f"{number} updates, each of the {len(CIRCUIT)} pairs {number // len(CIRCUIT)} times, {n_values} values "
                f"compared, {len(seen)} cells of the table; ticks {before.ticks}")


def a_deadline_passes_on_to_the_next_build(accel):
    """And so does the log: the file is opened once, and both builds write to it."""
    with tempfile.NamedTemporaryFile(prefix="cpr-", mode="r") as log:
        with MiniVmm(accel, "--ram", "64M", "--device", "watchdog", binary=BUILD_2) as vm:
            vm.monitor.command(f"device_set watchdog log {log.name}")
            make_event(vm, 0)
            vm.monitor.command("device_set watchdog timeout 1000")
            vm.monitor.command("out 0x600 1")
            deadline = vm.monitor.info("card watchdog")["deadline"]
            vm.update(BUILD_3)
            event = poll(lambda: vm.monitor.info("card watchdog").get("event 1"), "for the watchdog to notice")
            claim(event.split()[0] == deadline, f"the deadline was {deadline}, and the event is at {event}")
            claim(vm.monitor.ask("in 0x600") == "0x00\n", "the guest is still watched")
        lines = log.read().splitlines()
        claim(len(lines) == 2 and lines[1].endswith(deadline), f"in the log is {lines}")
        return lines


def roll_back(vm, build, line, binary, *options):
    """An update that is refused on the pause, with exactly that line."""
    before = vm.wait_for_ticks()
    answer = vm.try_update(binary, options=options)
    claim(answer == f"Migration status: rolled-back\nError: {line}\n", f"it should say {line!r}, and says {answer!r}")
    version = vm.version()
    claim((version.build, version.pid) == (build, vm.pid), f"{version}, not build {build}, pid {vm.pid}")
    vm.wait_for_ticks(before.ticks)


def a_card_that_was_plugged_in_comes_back_too(accel):
    """The way back builds it, though it wasn't on the command line of the start."""
    line = "device 'update': start-up fails at load, as told to"
    with MiniVmm(accel, "--ram", "64M", binary=BUILD_2) as vm:
        vm.monitor.command("device_add watchdog")
        vm.monitor.command("device_set watchdog owner me")
        roll_back(vm, 2, line, BUILD_3, "--device", "watchdog", "--fail-at", "load")
        claim(vm.monitor.info("card watchdog")["owner"] == "me", vm.monitor.ask("info card watchdog"))
        vm.monitor.command("device_del watchdog")
        roll_back(vm, 2, line, BUILD_3, "--fail-at", "load")
        vm.update(BUILD_1)
        return "rolled back with the card and without; then build 1"


# ---- What can't be loaded.

# From which build, with which cards and with what set, to which one, with which cards; why not; and how it then goes.
Refusal = collections.namedtuple("Refusal", "old cards commands new new_cards line cure")

REFUSALS = {
    "a_counter_that_doesnt_fit": Refusal(
        3, [], ["out 0x3fb 0x80",  # what the guest prints goes into the divisor, or it would be counted
                "device_set serial tx_bytes 5000000000"], BUILD_1, [],
        "device 'serial': field 'tx_bytes': 5000000000 doesn't fit into uint of 4 bytes", ["device_set serial tx_bytes 5"]),
    "a_number_that_is_no_bool": Refusal(
        2, [], ["device_set serial flow 2"], BUILD_1, [],
        "device 'serial': field 'flow': 2 doesn't fit into bool", ["device_set serial flow 1"]),
    "a_number_that_a_newer_build_made_narrower": Refusal(
        2, [], ["device_set serial fifo_depth 300"], BUILD_3, [],
        "device 'serial': field 'fifo_depth': 300 doesn't fit into uint of 1 byte", ["device_set serial fifo_depth 255"]),
    "an_unknown_field_in_use": Refusal(
        3, [], ["out 0x3fa 0x21"], BUILD_1, [],
        "device 'serial': field 'fifo_depth' isn't at its default in the state and not known here: it is 64, its default is 16", ["out 0x3fa 0x01"]),
    "an_unknown_group_in_use": Refusal(
        3, [], ["device_set serial rs485 1"], BUILD_2, [],
        "device 'serial': field 'rs485' isn't at its default in the state and not known here: it is there, by default it isn't", ["device_set serial rs485 0"]),
    "an_unknown_card": Refusal(
        2, ["watchdog"], [], BUILD_1, [],
        "device 'watchdog' of type 'watchdog' is in the state and not here", ["device_del watchdog"]),
    "an_unknown_card_that_is_asked_for": Refusal(
        3, ["crashlog"], [], BUILD_2, ["crashlog"],
        "card 'crashlog': this build doesn't know it", ["device_del crashlog"]),
    "a_card_that_isnt_there": Refusal(
        3, [], [], BUILD_3, ["crashlog"],
        "device 'crashlog': it isn't in the state", ["device_add crashlog"]),
    "a_type_of_another_meaning": Refusal(
        3, ["watchdog"], [], BUILD_WRONG, ["watchdog"],
        "device 'watchdog': type 'watchdog': version is 1 in the state, this program loads 2 to 2",
        ["device_del watchdog"]),
    "a_field_of_another_kind": Refusal(
        3, ["crashlog"], [], BUILD_WRONG, ["crashlog"],
        "device 'crashlog': field 'next' is uint of 4 bytes in the state, 4 raw bytes here", ["device_del crashlog"]),
}


def set_up(vm, refusal):
    for card in refusal.cards:
        vm.monitor.command(f"device_add {card}")
    for command in refusal.commands:
        vm.monitor.command(command)


def refuse(vm, refusal):
    """An update that is refused while the guest runs, with exactly that line."""
    before, stops = vm.wait_for_ticks(), vm.monitor.info("stops")["stops"]
    options = device_options(refusal.new_cards)
    answer = vm.try_update(refusal.new, options=options).partition(" (and ")[0].rstrip("\n")
    line = f"new program '{refusal.new}': {refusal.line}"
    claim(answer == f"Error: {line}", f"it should say {line!r}, and says {answer!r}")
    migration = vm.migration()
    claim(migration.status == "failed" and migration.error.partition(" (and ")[0] == line, f"{migration}")
    steps = {step: migration.step_us[step] for step in ("guardian", "stop", "save", "exec")}
    claim(not any(steps.values()) and migration.pause_us == 0, f"it came as far as {steps}, pause {migration.pause_us}")
    status = {**vm.monitor.info("status"), **vm.monitor.info("stops")}
    claim(status == {"VM status": "running", "stops": stops}, f"there were {stops} stops, and there is {status}")
    claim((vm.version().build, vm.version().pid) == (refusal.old, vm.pid), f"{vm.version()}")
    check = vm.monitor.ask("migrate_check").splitlines()
    claim(f"refused: {refusal.line}" in check, f"migrate_check says {check}")
    vm.wait_for_ticks(before.ticks)


def refusing(name, refusal):
    """Before the guest is stopped; and were the preflight skipped, on the pause, with the same line. Where the cause is gone
    the update works."""
    def test(accel):
        with MiniVmm(accel, "--ram", "64M", "--no-preflight", binary=BINARIES[refusal.old]) as vm:
            set_up(vm, refusal)
            roll_back(vm, refusal.old, refusal.line, refusal.new, *device_options(refusal.new_cards))
        with MiniVmm(accel, "--ram", "64M", binary=BINARIES[refusal.old]) as vm:
            set_up(vm, refusal)
            refuse(vm, refusal)
            for command in refusal.cure:
                vm.monitor.command(command)
            cards = [card for card in refusal.new_cards if f"device_del {card}" not in refusal.cure]
            vm.update(refusal.new, options=device_options(cards))
        return refusal.line
    test.__name__ = f"{name}_is_refused"
    return test


def a_value_that_is_set_after_a_check_is_checked_too(accel):
    refusal = REFUSALS["a_counter_that_doesnt_fit"]
    with MiniVmm(accel, "--ram", "64M", binary=BINARIES[refusal.old]) as vm:
        vm.set_command(refusal.new, *vm.options)
        claim(vm.monitor.ask("migrate_check").startswith("would go through\n"), "it wouldn't")
        set_up(vm, refusal)
        refuse(vm, refusal)
        return refusal.line


def what_an_older_build_drops_is_told(accel):
    with MiniVmm(accel, "--ram", "64M", "--device", "watchdog", binary=BUILD_3) as vm:
        vm.monitor.command("device_set serial interrupted 7")
        vm.set_command(BUILD_2, *vm.options)
        events = vm.monitor.ask("migrate_check")
        vm.monitor.command("device_del watchdog")
        vm.options = [option for option in vm.options if option not in ("--device", "watchdog")]
        vm.set_command(BUILD_1, *vm.options)
        counter = vm.monitor.ask("migrate_check")
        lost = "loss: device '{}': field '{}' is unknown here, its value would be dropped\n"
        claim(events == "would go through\n" + lost.format("watchdog", "events.timeout_ms"), events)
        claim(counter == "would go through\n" + lost.format("serial", "interrupted"), counter)
        vm.update(BUILD_1)
        return counter.splitlines()[1]


main(every_pair_of_builds_carries_what_the_table_says, a_deadline_passes_on_to_the_next_build,
     a_card_that_was_plugged_in_comes_back_too, what_an_older_build_drops_is_told,
     a_value_that_is_set_after_a_check_is_checked_too,
     *[refusing(*item) for item in REFUSALS.items()])
