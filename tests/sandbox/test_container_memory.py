"""A container's memory is shared by its sessions: who fills it is ``oom``, and no neighbour pays with a verdict."""

from __future__ import annotations

import pytest

from genprm.execution.containers import Limits
from tests.sandbox.container import Container

SMALL = Limits(memory_bytes=320 << 20, cpus=2.0, processes=256, scratch_bytes=96 << 20)
GROW = "kept = []\nwhile True: kept.append(bytearray(1 << 20))"
OFTEN_FORKED = (
    "import os, signal\nfor _ in range(12):\n"
    "    if not os.fork():\n        kept = bytearray(40 << 20)\n        signal.pause()\nsignal.pause()"
)


@pytest.mark.parametrize("hog", [GROW, OFTEN_FORKED])
def test_who_fills_the_container_is_oom_and_its_neighbour_goes_on(hog: str) -> None:
    """Each stays below its own limit, so the container's fires, and the kernel kills whom it likes."""
    with Container(SMALL, memory_bytes=2 << 30) as container:
        container.run(1, "x = 5")
        neighbour = container.start(1, "import time; time.sleep(6); print(x)")
        reply = container.run(2, hog, timeout_s=50.0)
        assert (reply["status"], reply["session_lost"]) == ("oom", True), reply
        assert container.reply(neighbour)["stdout"] == "5\n"
        assert container.prints(3, "print('clean')") == "clean\n"


def test_a_victim_of_another_session_is_told_that_it_is_innocent() -> None:
    """It holds more memory than the one that grows, so the kernel takes it, while it waits for its next cell."""
    with Container(SMALL, memory_bytes=2 << 30) as container:
        container.run(1, "kept = bytearray(150 << 20)")
        assert container.run(2, OFTEN_FORKED.replace("40 << 20", "9 << 20"), timeout_s=50.0)["status"] == "oom"
        reply = container.run(1, "print(len(kept))")
        assert reply.get("innocent") and "another session" in reply["unavailable"]
        assert container.prints(4, "print('clean')") == "clean\n"


FILL = """
import os, time
{how}
time.sleep(30)
"""


@pytest.mark.parametrize(
    "how",
    [
        "for n in range(8): open(str(n), 'wb').write(b'x' * (8 << 20))",
        "for n in range(12): open('/dev/shm/' + str(n), 'wb').write(b'x' * (4 << 20))",
        "for n in range(3000): open(str(n), 'w')",
        "os.makedirs('a/b'); open('a/b/c', 'wb').write(b'x' * (60 << 20)); os.chmod('a', 0)",
        "f = open('f', 'wb'); os.unlink('f'); f.write(b'x' * (60 << 20)); f.flush()",
    ],
)
def test_who_fills_the_file_systems_is_oom_and_its_neighbour_can_write(how: str) -> None:
    with Container(scratch_bytes=24 << 20, scratch_files=1000) as container:
        neighbour = container.start(1, "import time; time.sleep(3); print(open('f', 'w').write('x' * 99999))")
        reply = container.run(2, FILL.format(how=how), timeout_s=25.0)
        assert (reply["status"], reply["session_lost"]) == ("oom", True), reply
        assert container.reply(neighbour)["stdout"] == "99999\n"
        room = "import os; s = os.statvfs('.'); print((s.f_blocks - s.f_bfree) * s.f_frsize < 1 << 20)"
        assert container.prints(3, room) == "True\n"


def test_many_processes_that_share_their_memory_are_not_too_much() -> None:
    """Twenty forks show the template's memory twenty times; the session holds it once, which only its user can see."""
    crowd = (
        "import os, signal, time\npids = []\nfor _ in range(20):\n"
        "    pids.append(os.fork())\n    if not pids[-1]: signal.pause()\n"
        "time.sleep(0.5)\nprint(len(pids))"
    )
    with Container(memory_bytes=512 << 20) as container:
        assert container.prints(1, crowd) == "20\n"
