"""What a sandbox can claim to hold, whatever code does. An attack on something unclaimed is never started."""

from __future__ import annotations

CLAIMS = {
    "time": "a cell ends at its time limit",
    "memory": "the memory of a session, all its processes together, is bounded",
    "output": "of what a cell prints a bounded part is kept, as text",
    "state": "variables and files in the scratch folder live as long as their session, and no later one finds them",
    "descendants": "nothing that a cell started outlives it",
    "verdict": "code cannot forge the result of others, nor by what it prints its own, nor end well when it was killed",
    "environment": "no variable of the owner reaches the environment of code",
    "processes": "a session can start only so many processes and threads",
    "neighbours": "sessions cannot signal, trace or read each other or each other's files, nor the supervisor (command "
    "lines of programs, and names that two of them choose alike in /dev/shm, are seen)",
    "strangers": "code sees and reaches no process outside the sandbox",
    "files": "code can change no file outside the sandbox",
    "secrets": "no file of the owner can be read",
    "leftovers": "nothing that a session leaves outside its scratch folder reaches a later one",
    "disk": "what code writes is bounded, in size and in number of files",
    "network": "no network, no socket out of the sandbox",
    "privilege": "no root, no new privileges, no dangerous system call",
    "swap": "memory cannot escape to swap",
    "cpu": "code uses no more processor time than its share",
}
"""Each claim and what it means, in the order in which a person reads them."""

BOUNDED = frozenset({"time", "memory", "output", "state", "descendants", "verdict", "environment"})
"""What the supervisor alone holds, on any Linux, as any user."""

ALL = frozenset(CLAIMS)
