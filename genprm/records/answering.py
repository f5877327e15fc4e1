"""The program that finds and compares answers with math-verify, one request at a time, and dies at its deadline.

``python -m genprm.records.answering SECONDS``. A request is one JSON line on stdin: ``{"text": ...}`` asks for the
answer that a text concludes with, ``{"reference": ..., "answer": ...}`` whether the two agree. A reply is one JSON line
on stdout: ``{"answer": ...}``, ``{"correct": ...}`` or ``{"error": ...}``. A first line ``{}`` says that it is ready.

The deadline is processor time, kept by the kernel: no expression outlives it, however deep in C it computes, and a busy
machine changes no verdict. The process dies of SIGPROF then.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any

from genprm.records.answers import answers_agree, extract_answer

MEMORY_BYTES = 4 << 30
"""Address space: an expression that would fill the machine ends as an error."""


def main(seconds: float) -> None:
    """Answer requests until stdin ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not stand among the replies
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.RLIM_INFINITY))
    answers_agree("$\\frac{1}{2}$", "0.5", timed=False)  # loads everything, so that no deadline pays for it
    replies.write(b"{}\n")
    for line in requests:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        reply = _reply(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        replies.write(json.dumps(reply).encode() + b"\n")


def _reply(request: Mapping[str, str]) -> dict[str, Any]:
    try:
        if "text" in request:
            return {"answer": extract_answer(request["text"], timed=False)}
        return {"correct": answers_agree(request["reference"], request["answer"], timed=False)}
    except Exception as error:  # noqa: BLE001 (an expression may break a parser in any way; it is recorded as such)
        return {"error": f"{type(error).__name__}: {error}"[:200]}


if __name__ == "__main__":
    main(float(sys.argv[1]))
