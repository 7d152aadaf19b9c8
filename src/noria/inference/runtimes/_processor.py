"""What the processor can do that not every processor can, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # x86: products of bfloat16, added up in float32


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Tell whether it multiplies bfloat16 by itself; False where the system does not say."""
    try:
        with cpuinfo.open(encoding="ascii", errors="replace") as lines:  # of the first processor only
            flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())
