"""Arguments and variables that a stack adds to a command line: known to its release, and not another key's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.dynamo import backends, command_line, images
from components.dynamo.command_line import Flag, Table
from components.dynamo.manifest import ENDING_LIMITS, SERVING_LIMIT
from components.dynamo.spec import Frontend, Graph, Worker
from stacks.checks.draft import Draft
from stacks.faults import Fault
from stacks.tokens import is_argument, is_token

OWNED_ENVIRONMENT = frozenset(
    {
        "HF_TOKEN",
        "HF_HOME",
        "HF_HUB_OFFLINE",
        "DYN_NAMESPACE",
        "DYN_NAMESPACE_PREFIX",
        "DYN_NAMESPACE_PREFIX_STRICT",
        "DYN_NAMESPACE_WORKER_SUFFIX",
        "DYN_COMPONENT",
        "DYN_DISCOVERY_BACKEND",
        "DYN_SYSTEM_PORT",
        "FI_PROVIDER",
        "SGLANG_DISAGGREGATION_NIXL_BACKEND",
        "TRTLLM_NIXL_KVCACHE_BACKEND",
        # Longer than the pod's grace they would be cut, and shorter they cut requests (terminationGraceSeconds).
        *ENDING_LIMITS,
        SERVING_LIMIT,
    }
)
"""Environment set by the program or the operator from other keys."""

OWNED_ARGUMENTS: Mapping[str, str] = {
    "--model": "model",
    "--model-path": "model",
    "--served-model-name": "servedModelName",
    "--model-name": "servedModelName",
    "--tensor-parallel-size": "tensorParallel",
    "--tp": "tensorParallel",
    "--tp-size": "tensorParallel",
    "--pipeline-parallel-size": "pipelineParallel",
    "--data-parallel-size": "dataParallel",
    "--expert-parallel-size": "expertParallel",
    "--ep-size": "expertParallel",
    "--enable-expert-parallel": "expertParallel",
    "--enable-dp-attention": "attentionDataParallel",
    "--enable-attention-dp": "attentionDataParallel",
    "--override-engine-args": "engine",
    "--disaggregation-mode": "prefill and decode",
    "--kv-transfer-config": "transport",
    "--disaggregation-transfer-backend": "transport",
    "--router-mode": "frontend.router",
    "--migration-limit": "frontend.migrationLimit",
    "--namespace": "namespace",
    "--namespace-prefix": "namespace",
    "--kv-events-config": "frontend.router",
    "--publish-kv-events": "frontend.router",
    "--kv-cache-block-size": "kvBlockTokens",
    "--kv-block-size": "kvBlockTokens",
    "--block-size": "kvBlockTokens",
    "--page-size": "kvBlockTokens",
    "--speedup-ratio": "speedupRatio",
}
"""Arguments written from other keys, by one name each; any other name of the same flag is theirs too. Given twice, the backend
would take one of the two without a word."""

ONLY_OF: Mapping[str, tuple[str, ...]] = {
    "--model-name": ("mocker",),
    "--model": ("mocker", "vllm", "sglang", "trtllm"),
    "--model-path": ("mocker", "vllm", "sglang", "trtllm"),
}
"""Modules in which a name means what the key says, where it means something else in others: the frontend's `--model-path` is a
folder with a tokenizer."""


def owner(module: str, flag: Flag) -> str | None:
    """Key that sets a flag; None for one that is the user's."""
    names = [name for name in flag.names if module in ONLY_OF.get(name, command_line.MODULES)]
    return next((OWNED_ARGUMENTS[name] for name in names if name in OWNED_ARGUMENTS), None)


def arguments(draft: Draft, key: str, graph: Graph, part: Frontend | Worker) -> Iterator[Fault]:
    """What is wrong with the `extraArgs` and `env` of one part of a graph."""
    module = "frontend" if isinstance(part, Frontend) else graph.backend
    tokens = set(_tokens(part.extra_args))
    for position in sorted(tokens):
        yield Fault(
            "token-in-arguments", f"{key}.extraArgs[{position}]", "no token in clear; it must be revoked", "[hidden]"
        )
    found = command_line.table_for(module, _release(draft, graph, module))
    if found is None:
        return
    for each in command_line.read(found, part.extra_args):
        where, given = f"{key}.extraArgs[{each.position}]", part.extra_args[each.position]
        if each.position in tokens or each.position + 1 in tokens:
            continue
        # What means the same to another engine, or did once, is told by its key as well.
        theirs = owner(module, each.flag) if each.flag else OWNED_ARGUMENTS.get(each.spelled)
        if each.flag and graph.transport == "nvlink" and backends.CUMEM in each.flag.names:
            # Given once more it does no harm; taken back, blocks would go over TCP.
            theirs = "transport" if each.spelled.startswith("--no") else None
        if theirs:
            yield Fault("argument-owned", where, f"the key {theirs} instead of {each.spelled}", given)
        elif (right := command_line.expected(found, each)) and _own_image(graph, module):
            yield Fault("argument-wrong", where, right, given)
    for position, word in enumerate(part.extra_args):
        if module == "trtllm" and word.startswith(command_line.DYNAMIC):
            yield Fault(
                "argument-has-engine-key",
                f"{key}.extraArgs[{position}]",
                f"the key engine instead of {word.partition('=')[0]}",
                word,
            )
    for name, theirs in _owned_variables(module, found).items():
        if name in part.env and name not in OWNED_ENVIRONMENT:
            yield Fault(
                "variable-for-argument",
                f"{key}.env.{name}",
                f"the key {theirs} instead of this variable",
                part.env[name],
            )


def _tokens(words: tuple[str, ...]) -> Iterator[int]:
    for position, word in enumerate(words):
        before = words[position - 1] if position else ""
        if is_token(word) or is_argument(word.split("=")[0], word) or is_argument(before, f"{before}={word}"):
            yield position


def _owned_variables(module: str, found: Table) -> dict[str, str]:
    """Variables that set what another key sets, by which key."""
    flags = (flag for stage in found.stages for flag in stage.flags if flag.env)
    return {str(flag.env): theirs for flag in flags if (theirs := owner(module, flag))}


def _own_image(graph: Graph, module: str) -> bool:
    """Whether the image is Dynamo's own, whose engine is known; what another has is for the plan to warn of."""
    return graph.image is None or module == "frontend"


def _release(draft: Draft, graph: Graph, module: str) -> str:
    """Version of the Dynamo that reads the command line: of the graph's image where it has one."""
    if graph.image is not None and module != "frontend":
        return images.version(graph.image.tag) or graph.image.runtime_version or ""
    return draft.dynamo.version if draft.dynamo else ""
