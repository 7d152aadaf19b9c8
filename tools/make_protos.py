"""The `.proto` files of `serving/protos` -> `descriptors.pb` beside them. Needs grpcio-tools.

Run it after a change: `python tools/make_protos.py`. A test holds the two together.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "src" / "noria" / "serving" / "protos"
SOURCES = ("serving.proto", "tensorflow.proto")


def compiled(folder: Path = FOLDER) -> bytes:
    """Return the serialised FileDescriptorSet, with what the files import."""
    known = str(resources.files("grpc_tools").joinpath("_proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "descriptors.pb"
        options = [f"-I{folder}", f"-I{known}", "--include_imports", f"--descriptor_set_out={out}"]
        # In a process of its own: the compiler does not get on with TensorFlow's copy of protobuf.
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *SOURCES], check=True)
        return out.read_bytes()


if __name__ == "__main__":
    (FOLDER / "descriptors.pb").write_bytes(compiled())
