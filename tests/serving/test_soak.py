"""A short form of `make soak`: every fault once, under a load whose every answer is compared; and the OpenAPI page."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from noria.artifacts.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_every_fault_is_survived_under_load(bundle: Bundle, texts_bundle: Bundle) -> None:
    command = [sys.executable, str(ROOT / "tools" / "soak.py"), "--minutes", "0", "--malformed", "0", "--share", "0.2"]
    done = subprocess.run(
        [*command, "--photos", str(bundle.path), "--texts", str(texts_bundle.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if "processes serve HTTP at" not in line]
    assert said == []  # what the server has to say stands in its log
    for line in ("processes killed", "versions swapped", "slow senders, told 408", "malformed: HTTP 400"):
        assert line in done.stdout
    assert "0 failures" in done.stdout


@pytest.mark.timeout(600)
def test_what_schemathesis_makes_of_the_openapi_document_is_answered_as_it_says(served: Any, tmp_path: Path) -> None:
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("schemathesis is not installed")
    checks = "status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [command, "run", f"{served.http}/openapi.json", "--checks", checks, "--max-examples", "3", "--no-color",
         "--phases", "examples,coverage,fuzzing", "--request-timeout", "30"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_openapi_document_names_what_is_served(served: Any) -> None:
    with served.client() as client:
        document = client.get("/openapi.json").json()
    (name,) = document["paths"]["/v1/models/{name}:predict"]["parameters"]
    assert name["schema"]["enum"] == ["photos", "texts"]
