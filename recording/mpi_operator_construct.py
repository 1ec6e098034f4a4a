"""What `yaml.v2.ConfigFile` makes of the MPI operator's release manifest, for a plan that reads no network.

The component registers as one remote resource and the Kubernetes provider makes an object of every document in the file.
Kinds, names and namespaces are those of the file under the tag that components/catalog.py pins; another tag means reading
it again. The objects' specs are not repeated here, so the strict check has nothing to look at in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.catalog import MPI_OPERATOR
from recording.world import Child, World

WHY = f"made by yaml.v2.ConfigFile from the MPI operator's manifest {MPI_OPERATOR}; listed from that file, which was not read now"

NAMESPACE = "mpi-operator"

OBJECTS: tuple[tuple[str, str, str | None], ...] = (
    ("kubernetes:core/v1:Namespace", NAMESPACE, None),
    ("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "mpijobs.kubeflow.org", None),
    ("kubernetes:core/v1:ServiceAccount", "mpi-operator", NAMESPACE),
    ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "kubeflow-mpijobs-admin", None),
    ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "kubeflow-mpijobs-edit", None),
    ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "kubeflow-mpijobs-view", None),
    ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "mpi-operator", None),
    ("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "mpi-operator", None),
    ("kubernetes:apps/v1:Deployment", "mpi-operator", NAMESPACE),
)
"""Type, name and namespace of every object in the file (kubeflow/mpi-operator, deploy/v2beta1/mpi-operator.yaml)."""


def mpi_operator(world: World, name: str, inputs: Mapping[str, Any]) -> tuple[Sequence[Child], Mapping[str, Any], str]:
    """The objects of the manifest. Raises ValueError for any other file, whose content is not known here."""
    file = str(inputs.get("file"))
    if not file.endswith("/mpi-operator.yaml"):
        raise ValueError(
            f"ConfigFile {name!r} reads {file}, whose objects are not known here; list them with their source"
        )
    world.assume(f"the MPI operator's manifest at {file} holds what its release {MPI_OPERATOR} does; not read")
    children: list[Child] = []
    for type_, object_name, namespace in OBJECTS:
        path = f"{namespace}/{object_name}" if namespace else object_name
        metadata = {"name": object_name, **({"namespace": namespace} if namespace else {})}
        held = children[0].name if namespace else None
        children.append(
            Child(
                type_,
                f"{name}:{path}" if namespace or not children else f"{name}:{object_name}",
                {"metadata": metadata},
                # Objects of a namespace follow it, as the provider orders the kinds of a file.
                depends_on=(held,) if held else (),
            )
        )
    return children, {"resources": []}, WHY
