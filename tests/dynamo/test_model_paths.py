"""Models that a graph names beside its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.dynamo.download import snapshot_path
from components.dynamo.model_paths import named, references, resolved
from components.dynamo.spec import Graph, ModelSource
from recording.graph import Graph as Recorded
from recording.recorder import record
from stacks import stackfile
from tests.conftest import AT
from tests.stacks.edited import changed

DRAFT = ModelSource(repository="org/draft", revision="a" * 40)
PATH = snapshot_path("org/draft", "a" * 40)


def graph(**worker: Any) -> Graph:
    return Graph.model_validate_json(
        json.dumps({"model": "chat", "backend": "trtllm", "transport": "none", "worker": worker})
    )


def test_a_graph_without_references_is_itself() -> None:
    """JSON has braces of its own."""
    plain = graph(extraArgs=["--speculative-config", '{"method": "ngram"}', "{model.draft}", "models.draft"])
    assert resolved(plain, {}) is plain and named(plain) == ("chat",) and references(plain) == []


def test_references_wherever_words_are() -> None:
    made = graph(
        extraArgs=["--a", '{"model": "{models.draft}"}'],
        env={"DRAFT": "{models.draft}/x"},
        engine={"speculative_config": {"model": "{models.draft}", "of": ["{models.other}", 3, True]}},
    )
    assert references(made) == [
        ("worker.extraArgs[1]", "draft"),
        ("worker.env.DRAFT", "draft"),
        ("worker.engine.speculative_config.model", "draft"),
        ("worker.engine.speculative_config.of[0]", "other"),
    ]
    assert named(made) == ("chat", "draft", "other")
    worker = resolved(made, {"draft": DRAFT, "other": DRAFT}).worker
    assert worker is not None
    assert worker.extra_args[1] == json.dumps({"model": PATH}) and worker.env == {"DRAFT": f"{PATH}/x"}
    assert worker.engine == {"speculative_config": {"model": PATH, "of": [PATH, 3, True]}}
    with pytest.raises(KeyError):
        resolved(made, {"draft": DRAFT})


def recorded_with_draft(**graph: Any) -> Recorded:
    file = stackfile.read("gb200-prod" if graph else "g6e-dev")
    name = next(iter(file.config["dynamo-eks:graphs"]))
    role = "decode" if graph else "worker"
    changes = {
        "models.draft": {"repository": DRAFT.repository, "revision": DRAFT.revision},
        f"graphs.{name}.{role}.env": {"DRAFT": "{models.draft}"},
        **{f"graphs.{name}.{key}": value for key, value in graph.items()},
    }
    return record(file.stack, changed(file.config, changes), secret_keys=file.secret_keys, at=AT)


def test_a_draft_is_downloaded_and_waited_for() -> None:
    """Workers are offline: a model that nobody downloads is missed when the first of them starts (LLMKube #1495)."""
    made = recorded_with_draft()
    (job,) = [item for item in made.objects_of("Job") if item.name.startswith("cache-draft-")]
    (user,) = [item for item in made.objects_of("DynamoGraphDeployment") if PATH in json.dumps(item.manifest)]
    assert job.node.key in made.requires(user.node.key)


def test_a_draft_is_staged_with_its_model() -> None:
    """On NVMe disks the cache is out of sight: what is not copied is not there."""
    made = recorded_with_draft(weights="nvme")
    (user,) = made.objects_of("DynamoGraphDeployment")
    roles = user.manifest["spec"]["components"][1:]
    (script,) = {container["args"][0] for role in roles for container in role["podTemplate"]["spec"]["initContainers"]}
    assert script.count("cd /source") == 2 and f"mkdir -p {PATH}" in script
