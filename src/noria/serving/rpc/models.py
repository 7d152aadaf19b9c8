"""ModelService: which versions are in which state, and which models are to be served from now on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from noria.errors import ArtifactError, ForbiddenError, NoriaError, NotServedError, RequestError
from noria.serving.protos import message
from noria.serving.rpc.arrivals import CODES
from noria.serving.rpc.door import Call, Method, spec_of
from noria.serving.settings import ModelSettings

STATES = {"LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}
UNKNOWN = 2  # of google.rpc.Code
ALL = 64


async def get_model_status(call: Call, request: Any) -> Any:
    """Say in which state the versions of a model are."""
    spec = spec_of(request.model_spec)
    model = call.service.model(spec.name)
    number = model.pick(label=spec.label).number if spec.label else spec.version
    made = message("tensorflow.serving.GetModelStatusResponse")()
    for version in model.status():
        if number in (None, version.number):
            one = made.model_version_status.add(version=version.number, state=STATES[version.state])
            one.status.error_code = UNKNOWN if version.error else 0
            one.status.error_message = version.error
    if not made.model_version_status:
        raise NotServedError(f"Could not find version {number} of model {spec.name}")
    return made


async def handle_reload_config(call: Call, request: Any) -> Any:
    """Serve these models from now on; what cannot be done is told in the answer, as TensorFlow Serving does."""
    made = message("tensorflow.serving.ReloadConfigResponse")()
    try:
        if request.config.WhichOneof("config") != "model_config_list":
            raise RequestError("The config is to hold a model_config_list.")
        told = list(request.config.model_config_list.config)
        wanted = [_settings(call, one) for one in told]
        refused = await call.service.reload_all(wanted, deadline=call.deadline)
        if refused:
            words = (f"The model {name!r} cannot be served so: {reason}" for name, reason in refused.items())
            raise ArtifactError(" ".join(words))
    except NoriaError as error:
        made.status.error_code = CODES[error.http_status].value[0] if error.http_status in CODES else UNKNOWN
        made.status.error_message = str(error)
    return made


MODEL_METHODS = {
    "GetModelStatus": Method(get_model_status, "GetModelStatusRequest", "GetModelStatusResponse", "metadata"),
    "HandleReloadConfigRequest": Method(handle_reload_config, "ReloadConfigRequest", "ReloadConfigResponse", "reload"),
}


def _settings(call: Call, told: Any) -> ModelSettings:
    """Return the settings of a model; nobody may have the server open any folder of the machine."""
    path = Path(told.base_path)
    roots = {one.path.resolve().parent for one in call.service.config.models}
    if not path.is_absolute() or not any(path.resolve().is_relative_to(root) for root in roots):
        raise ForbiddenError("base_path is to lie beside a model that the server was started with.")
    policy = told.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    keep = {"latest": policy.latest.num_versions or 1, "all": ALL}.get(choice or "", 1)
    try:
        versions = tuple(policy.specific.versions) if choice == "specific" else ()
        labels = dict(told.version_labels)
        return call.service.settings_for(told.name, path=path, keep=min(keep, ALL), versions=versions, labels=labels)
    except ValidationError as error:
        raise RequestError(
            f"The model {told.name[:100]!r} cannot be served so: {error.error_count()} errors."
        ) from None
