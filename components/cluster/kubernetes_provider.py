"""The one Kubernetes provider of a stack: of the cluster made here, or of one that is there already.

Both give `cluster_identifier`. Without it the provider, and with it every object in the cluster, is replaced whenever
the kubeconfig's cluster entry differs or is not known yet (pulumi/pulumi-kubernetes#4019, closed as intended).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes


def cluster_provider(
    name: str,
    *,
    kubeconfig: pulumi.Input[str],
    cluster_arn: pulumi.Input[str],
    ready: Sequence[pulumi.Resource] = (),
    opts: pulumi.ResourceOptions | None = None,
) -> kubernetes.Provider:
    """Provider of the EKS cluster that this program makes.

    `kubeconfig` is JSON with an exec user. Everything in the cluster waits for `ready`, what must stand before objects
    can be made and must go after they are gone.
    """
    return _provider(name, kubeconfig, cluster_arn, None, ready, opts)


def existing_provider(
    name: str, *, kubeconfig_path: str, context: str, opts: pulumi.ResourceOptions | None = None
) -> kubernetes.Provider:
    """Provider of a cluster that is there already; no AWS resource is needed.

    The provider itself reads the file and expands a leading `~/`; the path is kept as written, so that state and plan
    are the same on every machine. `context` is also the cluster's identity: another one replaces every object.
    """
    if not kubeconfig_path:
        raise ValueError(
            "kubeconfig: the path is empty, and the provider would use the shell's KUBECONFIG; name a file"
        )
    if not context:
        raise ValueError("context: the name is empty, and the provider would use whatever context is current; name one")
    return _provider(name, kubeconfig_path, context, context, (), opts)


def _provider(
    name: str,
    kubeconfig: pulumi.Input[str],
    cluster_identifier: pulumi.Input[str],
    context: str | None,
    ready: Sequence[pulumi.Resource],
    opts: pulumi.ResourceOptions | None,
) -> kubernetes.Provider:
    return kubernetes.Provider(
        name,
        kubeconfig=kubeconfig,
        context=context,
        cluster_identifier=cluster_identifier,
        # Stated, because the constructor otherwise takes it from the shell (PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY).
        enable_server_side_apply=True,
        # Stated for the same reason: while the API server is away, true reports old inputs as if they were current.
        skip_update_unreachable=False,
        opts=pulumi.ResourceOptions.merge(
            opts,
            # Objects need the cluster's access and tag policies until their finalizers are done; they follow the provider.
            pulumi.ResourceOptions(depends_on=list(ready)),
        ),
    )
