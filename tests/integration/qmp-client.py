# SPDX-License-Identifier: LGPL-2.1-or-later
"""For qmp.py: updates a minivmm by QEMU's own client, again and again under one connection. The arguments are QMP's socket and a
cpr-exec-command for each update, as JSON."""
import asyncio
import json
import sys

from qemu.qmp import EventListener, ExecuteError, QMPClient


async def main(path, *commands):
    qmp = QMPClient("test")
    await qmp.connect(path)
    await qmp.execute("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]})
    for command in commands:
        listener = EventListener(("MIGRATION", "STOP", "RESUME"))
        with qmp.listen(listener):
            await qmp.execute("migrate-set-parameters", {"mode": "cpr-exec", "cpr-exec-command": json.loads(command)})
            await qmp.execute("migrate", {"uri": "file:unused"})
            events = [await asyncio.wait_for(listener.get(), 60) for _ in range(5)]
        told = [event.get("data", {}).get("status", event["event"]) for event in events]
        assert told == ["setup", "active", "STOP", "RESUME", "completed"], told
        assert (await qmp.execute("query-migrate"))["status"] == "completed"
        print("updated to", await qmp.execute("query-version"))
    try:
        await qmp.execute("nonsense")
    except ExecuteError as error:
        assert error.error_class == "CommandNotFound", error
    await qmp.disconnect()


asyncio.run(main(*sys.argv[1:]))
