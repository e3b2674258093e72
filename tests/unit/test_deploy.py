"""What stands in deploy/: valid, and in keeping with the programs that it starts."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from executor.settings import Settings as ExecutorSettings
from orchestrator.app import create_app
from orchestrator.cli import dibs
from orchestrator.server import FINISH_SECONDS
from orchestrator.settings import Settings, load, variable

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KUBERNETES = "1.33"

ORCHESTRATORS = {variable(name) for name in Settings.model_fields}
EXECUTORS = {str(field.validation_alias) for field in ExecutorSettings.model_fields.values()}
KNOWN = ORCHESTRATORS | EXECUTORS
KNOWN |= {f"{name}_FILE" for name in ("DATABASE_URL", "DIBS_SECRET_KEY", "EXECUTOR_TOKEN")}


def manifests() -> list[Any]:
    return list(_read())


def _read() -> Iterator[Any]:
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for index, manifest in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
            yield pytest.param(manifest, id=f"{path.name}-{index}")


def manifest(kind: str, name: str) -> Any:
    [found] = [
        each.values[0]
        for each in manifests()
        if (each.values[0]["kind"], each.values[0]["metadata"]["name"]) == (kind, name)
    ]
    return found


@pytest.mark.parametrize("manifest", manifests())
def test_a_manifest_is_valid(manifest: Any) -> None:
    if manifest["apiVersion"].startswith("keda.sh/"):
        assert manifest["kind"] in ("ScaledObject", "TriggerAuthentication")
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", manifests())
def test_every_pod_has_no_more_rights_than_it_needs_and_is_told_only_what_it_knows(
    manifest: Any,
) -> None:
    template = manifest["spec"].get("template")
    if template is None:
        return
    pod = template["spec"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {each["name"] for each in container["env"]} <= KNOWN
        if (command := container.get("command")) and command[0] == "dibs":
            assert dibs.get_command(None, command[1]) is not None  # type: ignore[arg-type]


def test_a_pod_has_longer_to_end_than_its_program_takes() -> None:
    executor = manifest("Deployment", "dibs-executor")["spec"]["template"]["spec"]
    [told] = executor["containers"]
    stop_seconds = {each["name"]: each.get("value") for each in told["env"]}
    orchestrator = manifest("Deployment", "dibs-orchestrator")["spec"]["template"]["spec"]
    before_seconds = int(
        orchestrator["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1]
    )

    drain = float(stop_seconds["EXECUTOR_STOP_TIMEOUT_S"])
    assert executor["terminationGracePeriodSeconds"] >= drain + 15
    assert orchestrator["terminationGracePeriodSeconds"] >= before_seconds + FINISH_SECONDS


def test_probes_ask_what_there_is() -> None:
    app = create_app(
        load({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "DIBS_SECRET_KEY": "k" * 32})
    )
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    pod = manifest("Deployment", "dibs-orchestrator")["spec"]["template"]["spec"]
    [container] = pod["containers"]

    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert {"/readyz", "/healthz"} <= routes


def test_executors_are_scaled_by_what_their_queue_wants() -> None:
    [container] = manifest("Deployment", "dibs-executor")["spec"]["template"]["spec"]["containers"]
    queues = {each["name"]: each.get("value") for each in container["env"]}["EXECUTOR_QUEUES"]
    scaled = manifest("ScaledObject", "dibs-executor")["spec"]
    [trigger] = scaled["triggers"]
    service = manifest("Service", "dibs")

    assert scaled["minReplicaCount"] == 0
    assert scaled["scaleTargetRef"]["name"] == "dibs-executor"
    # KEDA asks from a namespace of its own.
    assert (
        trigger["metadata"]["url"] == f"http://{service['metadata']['name']}.default.svc/v1/queues"
    )
    assert trigger["metadata"]["valueLocation"] == f'items.#(name=="{queues}").wantedExecutors'


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_can_read_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("install systemd: systemd-analyze reads the units of deploy/systemd")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text)
    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )

    assert verified.stderr == ""
    assert verified.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_knows_our_settings_and_gives_its_program_time_to_end(unit: Path) -> None:
    text = unit.read_text()
    said = dict(
        assignment.split("=", 1)
        for line in re.findall(r"^Environment=(.+)$", text, re.MULTILINE)
        for assignment in line.split()
    )
    [stop_seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    takes_seconds = float(said.get("EXECUTOR_STOP_TIMEOUT_S", FINISH_SECONDS))

    assert set(said) <= KNOWN
    assert float(stop_seconds) >= takes_seconds + 5
