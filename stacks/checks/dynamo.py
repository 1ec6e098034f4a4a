"""The Dynamo platform and the models."""

from __future__ import annotations

from collections.abc import Iterator

from components.dynamo import download
from components.dynamo.model_paths import named, references
from components.dynamo.models import table
from components.dynamo.spec import ModelSource
from stacks.checks.draft import Draft
from stacks.faults import Fault, one_of

OWNED_NAMESPACES = frozenset(
    {"default", "karpenter", "amazon-cloudwatch", "amazon-guardduty", "aws-observability"}
    | {"nvidia-dra-driver-gpu", "gpu-operator", "kai-scheduler", "grove-system"}
)
"""Namespaces that belong to the cluster, to EKS add-ons or to another part of the stack; `kube-` is Kubernetes' own prefix."""


OWNED_NAMESPACE = (
    "a namespace of its own: the program makes it, and a destroy takes it with everything in it; {} is somebody else's"
)


def dynamo(draft: Draft) -> Iterator[Fault]:
    dynamo = draft.dynamo
    if dynamo is None:
        return
    if dynamo.namespace in OWNED_NAMESPACES or dynamo.namespace.startswith("kube-"):
        yield Fault(
            "namespace-not-ours", "dynamo.namespace", OWNED_NAMESPACE.format(dynamo.namespace), dynamo.namespace
        )
    pull = dynamo.image_pull_secret
    if pull is not None:
        if bool(pull.existing) == bool(pull.server):
            yield Fault(
                "pull-secret-ambiguous",
                "dynamo.imagePullSecret",
                "exactly one of existing and server",
                draft.given["dynamo"]["imagePullSecret"],
            )
        elif pull.server and "imagePullPassword" not in draft.secrets:
            yield Fault(
                "pull-password-missing",
                "imagePullPassword",
                f"the password for {pull.server}; the key is required",
                add="pulumi config set --secret dynamo-eks:imagePullPassword",
            )
    if dynamo.hugging_face_secret and "huggingFaceToken" in draft.secrets:
        yield Fault(
            "hugging-face-secret-twice",
            "dynamo.huggingFaceSecret",
            "either an existing Secret or huggingFaceToken, not both",
            dynamo.hugging_face_secret,
        )


GATED_OWNERS = ("meta-llama/",)
"""Owners on Hugging Face all of whose models ask for an accepted licence."""


def _of_gated(model: ModelSource) -> bool:
    return model.repository.startswith(GATED_OWNERS)


def models(draft: Draft) -> Iterator[Fault]:
    yield from _named(draft)
    token = "huggingFaceToken" in draft.secrets or bool(draft.dynamo and draft.dynamo.hugging_face_secret)
    for name, model in draft.models.items():
        known = model.facts or table.known(model.repository)
        gated = model.gated or (known and known.gated) or ("gated" not in model.model_fields_set and _of_gated(model))
        if gated and not token and draft.dynamo is not None:
            yield Fault(
                "gated-model-without-token",
                f"models.{name}.{'gated' if model.gated else 'repository'}",
                f"a token, since {model.repository} is gated: neither huggingFaceToken nor dynamo.huggingFaceSecret is set",
                model.gated or model.repository,
                fix="pulumi config set --secret dynamo-eks:huggingFaceToken",
            )
        floor = download.MEMORY_GIB[model.download.xet_buffer]
        if model.download.memory_gib is not None and model.download.memory_gib < floor:
            yield Fault(
                "download-memory",
                f"models.{name}.download.memoryGib",
                f"at least {floor} with xetBuffer: {model.download.xet_buffer}; less is killed halfway",
                model.download.memory_gib,
                fix="leave the key out, or cap the buffer"
                if model.download.xet_buffer == "full"
                else "leave the key out",
            )


def _named(draft: Draft) -> Iterator[Fault]:
    """Models that are named and not there, and those that are there and not named: nobody downloads them, and workers are offline."""
    for name, graph in draft.graphs.items():
        for where, key in references(graph):
            if key not in draft.models and "models" not in draft.broken:
                yield Fault(
                    "model-reference-unknown",
                    f"graphs.{name}.{where}",
                    one_of(key, draft.models, "in {models.<name>} a key of models:"),
                    key,
                )
    # Without any graph the stack is on its way, to a rack that starts later or to a cluster first.
    if not draft.graphs or "graphs" in draft.broken or any(place.startswith("graphs.") for place in draft.broken):
        return
    used = {key for graph in draft.graphs.values() for key in named(graph)}
    for key in draft.models:
        if key not in used:
            yield Fault(
                "model-unused",
                f"models.{key}",
                "a model that a graph serves, or names in its words: nobody downloads this one",
                key,
                fix=f"take it out, serve it, or write {{models.{key}}} where a graph wants its path, as in "
                f"""--speculative-config '{{"model": "{{models.{key}}}"}}'""",
            )
