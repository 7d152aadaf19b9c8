"""Environments for what is compared with, made once: in `$NORIA_BENCH_ENVIRONMENTS`, or the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import platformdirs

from _harness import say

ENVIRONMENTS = "NORIA_BENCH_ENVIRONMENTS"
# The wheel for the processor alone, which lies beside PyPI; that of PyPI brings 3 GB of CUDA with it.
TORCH = ("torch==2.13.0+cpu", "--extra-index-url=https://download.pytorch.org/whl/cpu")


def python_with(*wanted: str) -> Path | None:
    """Return the Python of an environment with these packages, made where it is not there yet; None where pip cannot.

    Args:
        wanted: what pip is to install; nothing: this environment.
    """
    if not wanted:
        return Path(sys.executable)
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:8]
    home = Path(os.environ.get(ENVIRONMENTS) or platformdirs.user_cache_path("noria-bench"))
    folder = home / f"{wanted[0].partition('=')[0]}-{digest}"
    if not (folder / "whole").is_file():
        say(f"installing {' '.join(wanted)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(folder / "bin" / "pip"), "install", "--quiet", *wanted]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            say(f"{wanted[0]} cannot be installed, and is left out: {(errors or ['pip failed'])[-1][:200]}")
            return None
        (folder / "whole").touch()
    return folder / "bin" / "python"
