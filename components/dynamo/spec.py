"""Settings of Dynamo: platform, models and graphs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from ..capacity.spec import RackName
from ..spec import Cidr, Cpu, DnsLabel, Environment, InstanceType, Memory, Model, Release, ZoneId
from .models.facts import ModelFacts

GraphName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=37)]
"""37: graph and component name together may have 45 characters under Grove (Dynamo docs), and `frontend` takes 8."""


class ImagePullSecret(Model):
    existing: DnsLabel | None = None
    """Name of a Secret that is there already in every graph namespace and in the platform's."""
    server: str | None = None
    """Registry host; with it the Secret is made, its password from `dynamo-eks:imagePullPassword`."""
    username: str = "$oauthtoken"
    """Registry user; NGC's API keys go with `$oauthtoken`."""


class Dynamo(Model):
    """The Dynamo platform."""

    version: Release = "1.5.0"
    """Platform release, in quotes; images follow it. See components/catalog.py for what is supported with what."""
    namespace: DnsLabel = "dynamo-system"
    """Namespace of the operator. Changing it replaces the platform."""
    hugging_face_secret: DnsLabel | None = None
    """Name of an existing Secret with the key HF_TOKEN in every graph namespace, instead of `dynamo-eks:huggingFaceToken`."""
    image_pull_secret: ImagePullSecret | None = None
    pod_monitors: bool = False
    """Make PodMonitors for the platform's metrics; needs the prometheus-operator CRDs in the cluster."""
    prometheus_endpoint: str = ""
    """Address of Prometheus, for the planner."""
    check: bool = True
    """Run a Job that proves the platform's CRDs are served before any graph is made."""


class Download(Model):
    """How the cache Job fetches a model."""

    xet_buffer: Literal["full", "capped"] = "capped"
    """`full` lets the Xet downloader buffer up to 64 GB (fastest, needs 64 GiB of memory); `capped` keeps it near 8 GB."""
    memory_gib: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Memory request and limit of the Job, the same number; by default what the buffer needs."""
    timeout_minutes: Annotated[int, Field(ge=5, le=1440)] = 120
    """How long `pulumi up` waits for the download."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Restarts of the download; each resumes from what is already in the cache."""


class ModelSource(Model):
    """A model on Hugging Face, pinned to a commit."""

    repository: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
    ]
    """`organisation/name` on Hugging Face. Changing it downloads another model; graphs restart."""
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    """Commit of the repository, 40 hexadecimal digits; a branch name would move under the graphs."""
    gated: bool = False
    """Whether the repository needs an accepted licence and so a token."""
    facts: ModelFacts | None = None
    """Size, shape and number format, by which the plan judges whether the model fits its GPUs; `make model` writes them. Not needed for the repositories of components/dynamo/models/table.json, and above what that says."""
    download: Download = Field(default_factory=Download)


Router = Literal["round-robin", "random", "power-of-two", "kv", "direct", "least-loaded", "device-aware-weighted"]
Scaler = Literal["stack", "others"]
_SCALED_BY = """Who decides how many replicas there are. `stack`: every change of the graph sets `replicas`, also back from what somebody scaled by hand meanwhile. `others` (KEDA, a planner, a person with kubectl): no number is sent, a new graph starts with the operator's own 1, and `replicas` is what room is planned for. Changed to `others`, a number that nobody else has written yet falls to 1."""


class Frontend(Model):
    """The OpenAI-compatible entrance of a graph."""

    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Pods. Another number scales, and restarts nothing."""
    scaled_by: Scaler = Field(default="stack", description=_SCALED_BY)
    router: Router = "round-robin"
    """How requests are spread over workers. `kv` follows cached prefixes and needs KV events, which the program switches on."""
    migration_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How many times a request goes on at another worker when its own one fails, or ends before it has finished; the client sees no gap. 0, Dynamo's own default, and the client gets an error. Requests with structured output or for several choices (`n`) are never moved, and one that breaks each worker it meets breaks one more for each time. Another number restarts the frontend."""
    cpu: Cpu = "4"
    """CPU request. Another one restarts the frontend."""
    memory: Memory = "8Gi"
    """Memory request and limit. Another one restarts the frontend."""
    extra_args: tuple[str, ...] = ()
    """Arguments appended to the frontend's command line. Others restart it."""
    env: Environment = Field(default_factory=dict)
    """Environment variables of the frontend. Others restart it."""


class Worker(Model):
    """Workers of one role. GPUs are counted per pod; a worker of several nodes has one pod on each."""

    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Workers of this role. Another number scales, and restarts nothing."""
    scaled_by: Scaler = Field(default="stack", description=_SCALED_BY)
    nodes: Annotated[int, Field(ge=1, le=18)] = 1
    """Nodes of one worker: a leader pod and nodes - 1 others that start together. More than one needs Grove, which the program then installs."""
    gpus: Annotated[int, Field(ge=0, le=16)] = 1
    """GPUs per pod. Nodes x GPUs is tensor x pipeline x data parallel."""
    tensor_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    """GPUs that share each layer; a divisor of the model's attention heads. Another number restarts the workers."""
    pipeline_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    """Groups of GPUs that the layers are dealt out to, one after the other. Another number restarts the workers."""
    data_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    """Copies of the attention layers, each with requests of its own. Another number restarts the workers."""
    expert_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    """Ranks that experts are spread over: a divisor of the worker's GPUs; for vLLM all of them or 1."""
    attention_data_parallel: bool = False
    """Data-parallel attention inside the tensor-parallel group (SGLang, TensorRT-LLM); it adds no GPUs."""
    ultra_server: RackName | None = None
    """UltraServer of this role, where prefill and decode are on different racks."""
    huge_pages_mib: Annotated[int, Field(ge=2, le=102400, multiple_of=2)] | None = None
    """2 MiB pages for EFA; the rack sets them aside with its own `hugePagesMib`."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """TensorRT-LLM engine options, under the engine's own names, laid over what the program sets."""
    efa: Annotated[int, Field(ge=0, le=32)] | None = None
    """EFA interfaces per pod; by default all of the instance's with `transport: efa`. Part of a node can break the KV transfer."""
    kv_buffer_device: Literal["cuda", "cpu"] | None = None
    """Where KV blocks are staged; by default `cuda` over EFA and `cpu` over TCP, which cannot read GPU memory."""
    cpu: Cpu | None = None
    """CPU request; by default the worker's share of the node, with room for the node's daemons."""
    memory: Memory | None = None
    """Memory request and limit; by default the worker's share of the node, with room for the node's daemons."""
    shared_memory: Memory | None = None
    """Size of /dev/shm, counted against the pod's memory and so less than that; by default 16Gi, or half of that memory where it has less than 32Gi."""
    extra_args: tuple[str, ...] = ()
    """Arguments appended to the backend's command line. They are read as the engine of the Dynamo release reads them: what it does not know, and what another key sets, is refused under any spelling. `{models.draft}` stands for the path in the cache of that model of `models`, which the graph then downloads too; so it does in `env` and `engine`."""
    env: Environment = Field(default_factory=dict)
    """Environment variables of the workers. Others restart them."""


class Placement(Model):
    """Where a graph's workers run."""

    pool: DnsLabel | None = None
    """NodePool they run on; not given for graphs without GPUs or on an UltraServer."""
    ultra_server: RackName | None = None
    """UltraServer they run on."""
    any_ultra_server: bool = False
    """Let the gang scheduler choose one UltraServer for the whole graph, instead of naming it. That holds for workers of one node, and for the first replica of a worker of several: each further one, also one that is scaled to later, is a gang of its own and chooses for itself."""
    instance_type: InstanceType | None = None
    """Instance type they ask for; by default any that the pool may launch and that fits."""
    zone: ZoneId | None = None
    """Zone they are pinned to; by default any one of those its pool launches in (`sameZone`)."""
    same_zone: bool | None = None
    """Keep all pods of the graph in one zone; by default true, and false with `cluster.existing`, where nodes may have no zone (those of kind and k3s have none) and the pods would wait for ever. EFA does not cross zones, and other traffic between zones is billed."""
    anti_affinity: Literal["required", "preferred", "none"] = "none"
    """Keep prefill and decode workers on different nodes."""
    reserved_only: bool = False
    """Run only on reserved nodes, never on the pool's fallback; with `sameZone` in one zone whose reservations hold the whole graph."""


class Exposure(Model):
    """How clients reach the frontend."""

    type: Literal["clusterIP", "nlb"] = "clusterIP"
    """`clusterIP` keeps it inside the cluster; `nlb` adds a Network Load Balancer."""
    scheme: Literal["internal", "public"] = "internal"
    """Reachable from the VPC and what is connected to it, or from the internet."""
    allowed_cidrs: tuple[Cidr, ...] = ()
    """Who may connect through the load balancer; required with `nlb`."""
    allow_open_access: bool = False
    """Named override that lets `allowedCidrs` cover the internet, as 0.0.0.0/0 or in parts. The frontend asks nobody for a password."""
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """Port of the load balancer."""


class SmokeTest(Model):
    """A Job that waits for the graph and posts one completion; `pulumi up` fails with its reason."""

    timeout_minutes: Annotated[int, Field(ge=1, le=240)] = 60
    """How long the graph may take until it answers. Another number runs the test again."""


class Image(Model):
    """A runtime image other than the platform's own."""

    repository: Annotated[
        str,
        StringConstraints(
            max_length=255,
            pattern=r"^([a-z0-9]+((\.|-+)[a-z0-9]+)*(:[0-9]{1,5})?/)?[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*$",
        ),
    ]
    """Registry, path and name, without a scheme: `nvcr.io/nvidia/ai-dynamo/vllm-runtime`."""
    tag: Annotated[str, StringConstraints(pattern=r"^[\w][\w.-]{0,127}(@sha256:[0-9a-f]{64})?$")]
    """Tag, with or without a digest. Another one restarts the workers."""
    runtime_version: Release | None = None
    """MAJOR.MINOR.PATCH of the Dynamo runtime inside; needed where the tag does not begin with it."""


Amount = Annotated[str, StringConstraints(pattern=r"^([0-9]|[1-9][0-9]|100)%$|^[0-9]{1,4}$")]


class Rollout(Model):
    """How fast workers are replaced when the graph changes. Another pace restarts them, once. Workers of several nodes, which Grove runs, are replaced one by one."""

    max_surge: Amount | None = None
    """Workers of a role that may start beside those that are there, as a count or a percentage, rounded up. By default 25%; 0 where no machine is left for one, as on reserved nodes that are all in use."""
    max_unavailable: Amount | None = None
    """Workers of a role that may be gone before their successors serve, rounded down. By default 25%; 1 where nothing can start beside."""


class Graph(Model):
    """One DynamoGraphDeployment: a model, served."""

    model: DnsLabel
    """Key of the model under `models`."""
    backend: Literal["vllm", "sglang", "trtllm", "mocker"]
    """Inference engine. Changing it replaces the graph."""
    preset: Literal["deepseek-r1-wide-ep", "glm-5-efa"] | None = None
    """A published recipe whose keys stand under those given here; see components/dynamo/recipes/."""
    transport: Literal["efa", "nvlink", "tcp", "none"]
    """How KV blocks travel from prefill to decode: always stated. `none` for aggregated graphs, which transfer nothing."""
    compute_domain: Literal["perGraph", "perRole", "groveAuto", "none"] | None = None
    """NVLink memory sharing across nodes (IMEX): one ComputeDomain for the graph, one for each role, left to Grove, or none. Stated for every graph on an UltraServer."""
    weights: Literal["cache", "nvme"] = "cache"
    """Where workers read the model: from the shared cache, or from the node's NVMe disks, to which each pod first copies it."""
    host_ipc: bool = False
    """Share the node's IPC namespace with the workers, as NVIDIA's GB200 recipes do."""
    namespace: DnsLabel = "dynamo"
    """Namespace of the graph. Changing it replaces the graph."""
    served_model_name: Annotated[str, StringConstraints(pattern=r"^[^\s-][^\s]{0,255}$")] | None = None
    """Name clients ask for; by default the model's repository."""
    frontend: Frontend = Field(default_factory=Frontend)
    worker: Worker | None = None
    """Workers of an aggregated graph; excludes `prefill` and `decode`. Switching between the two replaces the graph."""
    prefill: Worker | None = None
    decode: Worker | None = None
    placement: Placement = Field(default_factory=Placement)
    exposure: Exposure = Field(default_factory=Exposure)
    image: Image | None = None
    efa_security: Literal["ipcLock", "privileged"] | None = None
    """What lets workers pin memory for EFA; by default IPC_LOCK in pools and `privileged` on UltraServers, where the recipes use it."""
    compilation_cache: bool = True
    """Keep compiled kernels on the shared `compilation-cache` claim, so that a restarted worker is ready minutes earlier."""
    pod_monitor: bool = True
    """Let Prometheus scrape the graph's pods; where `dynamo.podMonitors` is off it has no effect."""
    speedup_ratio: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """For `mocker`: how much faster than a real engine it pretends to be."""
    kv_block_tokens: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tokens in a KV block, told to every worker and to a frontend with `router: kv`; by default each engine's own, which the router reads from the workers. Some attention backends take one number only. Changing it restarts the workers."""
    termination_grace_seconds: Annotated[int, Field(ge=30, le=3600)] = 120
    """How long a pod may take to end when it is deleted. All but 15 seconds of it is what Dynamo gives running requests to finish, and what a worker waits, busy or not; what has not finished then goes to another worker (`frontend.migrationLimit`). Changing it restarts the pods."""
    rollout: Rollout = Field(default_factory=Rollout)
    pod_disruption_budget: bool = True
    """Let nodes that expire, drift or are consolidated take one pod of each part at a time, so that the next node waits until its predecessor's pod serves again. For parts with two pods or more in a pool; on a Capacity Block, where all nodes end at once, there is none."""
    tokens_per_second: Annotated[float, Field(gt=0, le=100_000_000)] | None = None
    """Output tokens that the whole graph makes in a second under your load, as measured (NVIDIA AIPerf); the plan's cost then tells dollars for a million of them."""
    smoke_test: SmokeTest | None = None
    """On an UltraServer it is the top of the verification ladder: first the model's load, then one completion."""
