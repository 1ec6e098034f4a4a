"""What an UltraServer node is told when it boots: user data of EKS's AL2023 image. Pure.

MIME parts, which EKS merges with its own (EKS User Guide, launch templates): a NodeConfig for nodeadm, and a script where
huge pages are set aside. The cluster's address and certificate are not among them, since EKS resolves the image.
"""

from __future__ import annotations

import base64
import json

BOUNDARY = "dynamo-eks-node"

PAGE_MIB = 2


def node_config() -> dict[str, object]:
    """NVMe disks joined as RAID0: kubelet, containerd and the pods' files lie there, 22.5 TB on a P6e-GB200."""
    return {
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {"instance": {"localStorage": {"strategy": "RAID0"}}},
    }


def huge_pages_script(mib: int) -> str:
    """Sets 2 MiB pages aside before kubelet starts; it counts them once, at its start. Fails loudly when the kernel has
    fewer, because pods that ask for them would stay Pending on a node that looks whole."""
    pages = mib // PAGE_MIB
    path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    return (
        "#!/bin/bash\n"
        "set -euo pipefail\n"
        f"echo {pages} > {path}\n"
        f'[ "$(cat {path})" -ge {pages} ] || {{ echo "only $(cat {path}) of {pages} huge pages" >&2; exit 1; }}\n'
    )


def user_data(huge_pages_mib: int) -> str:
    """The MIME document as text."""
    parts = [("application/node.eks.aws", json.dumps(node_config(), indent=1))]
    if huge_pages_mib:
        parts.append(('text/x-shellscript; charset="us-ascii"', huge_pages_script(huge_pages_mib)))
    lines = ["MIME-Version: 1.0", f'Content-Type: multipart/mixed; boundary="{BOUNDARY}"', ""]
    for kind, text in parts:
        lines += [f"--{BOUNDARY}", f"Content-Type: {kind}", "", text.rstrip(), ""]
    return "\n".join([*lines, f"--{BOUNDARY}--", ""])


def encoded(huge_pages_mib: int) -> str:
    """User data as a launch template takes it: base64."""
    return base64.b64encode(user_data(huge_pages_mib).encode()).decode()
