"""Keys and seeds: digests of what they name, the same in every process and in every run."""

from __future__ import annotations

import hashlib
import json

SEED_BITS = 63


def digest(*parts: object) -> str:
    """64 hex digits of plain values. JSON keeps the parts apart: ("a", "bc") and ("ab", "c") are different texts."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=32).hexdigest()


def seed_of(*parts: object) -> int:
    """A seed in [0, 2**63)."""
    return int(digest(*parts)[:16], 16) >> (64 - SEED_BITS)
