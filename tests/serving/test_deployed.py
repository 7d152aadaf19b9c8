"""A server started as a deployment starts it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

import noria
from noria.artifacts.bundle import Bundle
from noria.deploying.write import write_deployment


def test_the_config_of_a_deployment_serves(
    start: Callable[..., Any], bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    write_deployment(bundle.path, tmp_path / "deploy", name="flowers")
    (tmp_path / "models" / "flowers").mkdir(parents=True)
    (tmp_path / "models" / "flowers" / "1").symlink_to(bundle.path)
    config = (tmp_path / "deploy" / "noria.toml").read_text(encoding="utf-8")
    here = tmp_path / "noria.toml"
    here.write_text(config.replace('"/models/', f'"{tmp_path}/models/').replace("0.0.0.0", "127.0.0.1"), "utf-8")
    server = start("--config", here)
    photo = min((photos / "rose").glob("[0-9]*.jpg"))
    with server.client() as client:
        card = client.get("/v1/models/flowers/card").json()
        answer = client.post(
            "/v1/models/flowers:predict", content=photo.read_bytes(), headers={"content-type": "image/jpeg"}
        ).json()
        (alone,) = noria.predict(bundle, [photo], runtime=card["runtime"])
        assert answer["answers"][0]["label"] == alone["label"]
    hpa = (tmp_path / "deploy" / "kubernetes" / "horizontalpodautoscaler.yaml").read_text(encoding="utf-8")
    metric = re.search("name: (noria_[a-z_]+)", hpa)
    monitor = (tmp_path / "deploy" / "kubernetes" / "monitoring" / "servicemonitor.yaml").read_text(encoding="utf-8")
    path = re.search("path: (.+)", monitor)
    probe = re.search(r"http://127\.0\.0\.1:8501(/[a-z]+)", (tmp_path / "deploy" / "Dockerfile").read_text("utf-8"))
    assert metric
    assert path
    assert probe
    assert f'{metric[1]}{{model="flowers"' in httpx.get(f"{server.http}{path[1]}").text
    assert httpx.get(f"{server.http}{probe[1]}").status_code == 200
