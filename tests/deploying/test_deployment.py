"""The files of a deployment, by the schemas of the programs that read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import noria
from noria.artifacts.bundle import Bundle
from noria.deploying.plan import Scale
from noria.deploying.write import write_deployment
from noria.errors import ArtifactError, ConfigError, UnknownNameError
from noria.serving.settings import load_serve_config

CLUSTERS = ("1.30", kubernetes_validate.latest_version())  # the oldest that is still sold, and the newest known
FOREIGN = {"Kustomization", "ServiceMonitor", "InferenceService"}  # kinds that a bare cluster does not know
PEERS = Path(sys.prefix) / "peers"  # packages whose own requirements would clash with ours; `make` puts them there


@pytest.fixture(scope="module", params=["image", "volume"])
def deployed(request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment of the photos, with the models in the image or on a volume."""
    out = tmp_path_factory.mktemp("deployed") / "deploy"
    write_deployment(bundle.path, out, name="Photos of flowers", models=request.param, scale=Scale(cpus=4))
    return out


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_kubernetes_knows_every_field(deployed: Path, cluster: str) -> None:
    kinds = []
    for path, found in objects(deployed):
        if found["kind"] not in FOREIGN:
            kubernetes_validate.validate(found, cluster, strict=True)
            kinds.append(found["kind"])
        assert "\t" not in path.read_text(encoding="utf-8")
    assert {"Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"} <= set(kinds)


def test_kubernetes_refuses_what_is_misspelt(deployed: Path) -> None:
    (found,) = (one for _, one in objects(deployed) if one["kind"] == "HorizontalPodAutoscaler")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**found, "spec": {**found["spec"], "maxReplica": 3}}, CLUSTERS[1], strict=True)


def test_objects_name_each_other(deployed: Path, bundle: Bundle) -> None:
    by_kind = {found["kind"]: found for path, found in objects(deployed) if path.parent.name == "kubernetes"}
    pod = by_kind["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for selector in (
        by_kind["Deployment"]["spec"]["selector"]["matchLabels"],
        by_kind["Service"]["spec"]["selector"],
        by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "photos-of-flowers"
    assert {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]} == ports.keys()
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == {one["name"] for one in container["volumeMounts"]}
    if "PersistentVolumeClaim" in by_kind:
        claimed = [
            one["persistentVolumeClaim"]["claimName"] for one in pod["spec"]["volumes"] if one["name"] == "models"
        ]
        assert claimed == [by_kind["PersistentVolumeClaim"]["metadata"]["name"]]
    listed = set(by_kind["Kustomization"]["resources"])
    assert listed == {path.name for path, one in objects(deployed) if path.parent.name == "kubernetes"} - {
        "kustomization.yaml",
        "fill-volume.yaml",
    }


def test_a_pod_is_killed_only_after_the_server_has_drained(deployed: Path) -> None:
    config = load_serve_config(deployed / "noria.toml")
    (pod,) = (one["spec"]["template"]["spec"] for _, one in objects(deployed) if one["kind"] == "Deployment")
    before = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > before + config.server.drain_seconds
    compose = yaml.safe_load((deployed / "compose.yaml").read_text(encoding="utf-8"))
    assert int(compose["services"]["server"]["stop_grace_period"].rstrip("s")) > config.server.drain_seconds


def test_the_config_in_the_cluster_is_the_one_in_the_image(deployed: Path) -> None:
    (found,) = (one for _, one in objects(deployed) if one["kind"] == "ConfigMap")
    config = (deployed / "noria.toml").read_text(encoding="utf-8")
    assert tomllib.loads(found["data"]["noria.toml"]) == tomllib.loads(config)
    assert load_serve_config(deployed / "noria.toml").server.workers == 4


def test_compose_knows_every_field(deployed: Path) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
        return subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=60, check=False)

    path = deployed / "compose.yaml"
    done = check()
    assert done.returncode == 0, done.stdout
    path = deployed.parent / "misspelt.yaml"
    path.write_text((deployed / "compose.yaml").read_text("utf-8").replace("read_only: true", "readonly: 1"), "utf-8")
    assert check().returncode == 1


def test_kserve_knows_every_field(deployed: Path) -> None:
    """A round trip through the classes of KServe's own SDK, which drop what they do not know."""
    if not (PEERS / "kserve").is_dir():
        pytest.skip(f"KServe's SDK is not at {PEERS}; `make test` puts it there")
    found = yaml.safe_load((deployed / "kserve" / "inferenceservice.yaml").read_text(encoding="utf-8"))
    code = (
        "import json, sys, importlib.util, types\n"
        f"sys.path.insert(0, {str(PEERS)!r})\n"
        "from kubernetes.client import ApiClient\n"
        # Only the generated models: the package's own __init__ imports its server.
        "package = types.ModuleType('kserve'); package.__path__ = [sys.path[0] + '/kserve']\n"
        "sys.modules['kserve'] = package\n"
        "import kserve.models as models, kubernetes.client.models as theirs\n"
        "for name in dir(models):\n"
        "    if name.startswith('V1'): setattr(theirs, name, getattr(models, name))\n"
        "client = ApiClient()\n"
        "answer = types.SimpleNamespace(data=sys.stdin.read())\n"
        "made = client.deserialize(answer, 'V1beta1InferenceService')\n"
        "print(json.dumps(client.sanitize_for_serialization(made)))\n"
    )

    def told(asked: Any) -> Any:
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    assert told(found) == found
    misspelt = {**found, "spec": {"predictor": {**found["spec"]["predictor"], "maxReplica": 3}}}
    assert told(misspelt) == found


def test_the_dockerfile_builds_from_what_is_there(deployed: Path, bundle: Bundle) -> None:
    text = (deployed / "Dockerfile").read_text(encoding="utf-8")
    instructions = [line.split(maxsplit=1) for line in re.sub(r"\\\n\s*", "", text).splitlines() if line[:1].isalpha()]
    assert instructions[0][0] == "FROM"
    for name, rest in instructions:
        assert name in {
            "FROM",
            "ARG",
            "COPY",
            "RUN",
            "ENV",
            "USER",
            "EXPOSE",
            "STOPSIGNAL",
            "HEALTHCHECK",
            "ENTRYPOINT",
        }
        if name == "COPY" and "--from" not in rest:
            *_, source, _ = rest.split()
            assert (deployed / source).exists()
        if name in ("ENTRYPOINT", "HEALTHCHECK"):
            command = json.loads(rest[rest.index("[") :])
            assert all(isinstance(part, str) for part in command)
    assert [rest for name, rest in instructions if name == "USER"] == ["10001:10001"]
    assert f"/wheels/noria-{noria.__version__}-*.whl" in text
    config = load_serve_config(deployed / "noria.toml")
    assert [name for name, _ in instructions].count("FROM") == 2
    assert ("/models/Photos-of-flowers/1" in text) == ("--from=models" in text)
    assert config.models[0].path == Path("/models/Photos-of-flowers")


def test_scripts_are_shell(deployed: Path) -> None:
    scripts = list(deployed.rglob("*.sh"))
    assert scripts
    for script in scripts:
        subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)
        assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("name", ["true", "null", "1e3", "Grüße: #1 {x}", "a" * 300, "0x10", "~x", "y"])
def test_any_name_is_a_text_wherever_it_stands(bundle: Bundle, tmp_path: Path, name: str) -> None:
    write_deployment(bundle.path, tmp_path / "deploy", name=name, models="volume")
    for _, found in objects(tmp_path / "deploy"):
        if found["kind"] not in FOREIGN:
            kubernetes_validate.validate(found, CLUSTERS[1], strict=True)
        if found["kind"] != "Kustomization":
            assert isinstance(found["metadata"]["name"], str)
            assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", found["metadata"]["name"])
    assert load_serve_config(tmp_path / "deploy" / "noria.toml").models[0].name


def test_a_path_keeps_its_spaces_quotes_and_dollars(bundle: Bundle, tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s $HOME "and" more'
    odd.mkdir()
    (odd / "bundle").symlink_to(bundle.path)
    copy = odd / "models"
    copy.mkdir()
    (copy / "3").symlink_to(bundle.path)
    write_deployment(copy, odd / "deploy", models="volume")
    compose = yaml.safe_load((odd / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    (volume,) = compose["services"]["server"]["volumes"]
    assert (odd / "deploy" / volume["source"].replace("$$", "$")).resolve() == copy.resolve()
    run = (odd / "deploy" / "tensorflow-serving" / "run.sh").read_text(encoding="utf-8")
    told = subprocess.run(
        ["sh", "-c", run.replace("exec docker", "printf '%s\\n'")],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert f"{copy}/3/savedmodel:/models/models/3:ro" in told.stdout.splitlines()


def test_a_savedmodel_of_somebody_else_brings_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "half" / "7").mkdir(parents=True)
    (tmp_path / "half" / "7" / "saved_model.pb").write_bytes(b"")
    write_deployment(tmp_path / "half", tmp_path / "deploy")
    assert "'tensorflow-cpu>=" in (tmp_path / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "deploy" / "deployment.json").read_bytes())["image"] == "half:7"


def test_what_is_wrong_is_told_and_nothing_is_written(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    for wrong, error, told in (
        ({"source": tmp_path}, ArtifactError, "neither a bundle nor a folder"),
        ({"image": "flowers"}, ConfigError, "tag"),
        ({"image": "flowers:latest"}, ConfigError, "latest"),
        ({"image": "a b:1"}, ConfigError, "tag"),
        ({"name": "花"}, ConfigError, "--name"),
        ({"models": "cloud"}, UnknownNameError, "volume"),
    ):
        with pytest.raises(error, match=told):
            write_deployment(**{"source": bundle.path, "out": out, **wrong})
    with pytest.raises(ConfigError, match="max_replicas"):
        Scale(min_replicas=5, max_replicas=2)
    assert not out.exists()


def test_edits_are_replaced_only_when_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    write_deployment(bundle.path, out)
    (out / "noria.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError):
        write_deployment(bundle.path, out)
    assert (out / "noria.toml").read_text(encoding="utf-8") == "mine"
    write_deployment(bundle.path, out, replace=True)
    assert load_serve_config(out / "noria.toml").models
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"x")
    with pytest.raises(ArtifactError):
        write_deployment(bundle.path, photos, replace=True)
    assert (photos / "a.jpg").is_file()


def objects(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every object for a cluster that is in a deployment."""
    for path in sorted(folder.rglob("*.yaml")):
        for found in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if "kind" in found:
                yield path, found
