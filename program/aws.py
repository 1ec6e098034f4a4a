"""Network, cluster, storage and GPU capacity in AWS."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components import catalog
from components.capacity.ultraservers import Rack
from components.cluster.addons import ClusterAddons, ClusterAddonsArgs
from components.cluster.cluster import AutoModeCluster, AutoModeClusterArgs
from components.cluster.kubeconfig import update_command
from components.cluster.kubernetes_provider import cluster_provider
from components.storage.shared_files import SharedFiles, SharedFilesArgs
from components.storage.storage_classes import EFS_CLASS, StorageClasses, StorageClassesArgs
from program.network import blocks_of, made_network, mounts
from program.place import Place
from program.pools import gpu_pools
from program.racks import ultra_servers
from stacks.settings import Settings


def place(settings: Settings) -> Place:
    """Network, cluster, storage and GPU capacity in AWS."""
    config, region = settings.cluster, settings.region or ""
    role = settings.assume_role
    account = aws.Provider(
        "aws",
        region=region,
        # Default tags live on the provider: no resource can forget them.
        default_tags=aws.ProviderDefaultTagsArgs(tags=settings.aws_tags),
        # The provider compares the account by itself as well, with the credentials that it really uses.
        allowed_account_ids=list(settings.accounts) or None,
        profile=settings.profile,
        assume_roles=[
            aws.ProviderAssumeRoleArgs(role_arn=role.role_arn, session_name=role.session_name, duration=role.duration)
        ]
        if role
        else None,
    )
    in_aws = pulumi.ResourceOptions(providers=[account])
    racks = {name: Rack(name=name, spec=given) for name, given in settings.capacity.ultra_servers.items()}
    blocks = blocks_of(racks, account)
    network = made_network(settings, account, racks, blocks)
    cluster = AutoModeCluster(
        "main",
        AutoModeClusterArgs(
            cluster_name=settings.cluster_name,
            region=region,
            spec=config,
            vpc_id=network.vpc_id,
            private_subnet_ids=list(network.private_subnet_ids.values()),
            tags=settings.aws_tags,
            egress=network.egress,
            profile=settings.profile,
            assume_role_arn=role.role_arn if role else None,
        ),
        in_aws,
    )
    provider = cluster_provider(
        "kubernetes", kubeconfig=cluster.kubeconfig, cluster_arn=cluster.arn, ready=cluster.ready
    )
    in_cluster = pulumi.ResourceOptions(providers=[account, provider])
    addons = ClusterAddons(
        "addons",
        ClusterAddonsArgs(cluster_name=cluster.cluster_name, efs_csi_version=catalog.EFS_CSI_ADDON),
        in_aws,
    )
    files = SharedFiles(
        "files",
        SharedFilesArgs(
            # Names the file system in EFS itself: a second creation collides instead of making a twin.
            creation_token=f"{settings.cluster_name}-files",
            vpc_id=network.vpc_id,
            subnet_ids=network.private_subnet_ids,
            client_security_group_ids={"cluster": cluster.cluster_security_group_id},
            spec=settings.storage.efs,
        ),
        in_aws,
    )
    classes = StorageClasses(
        "storage",
        StorageClassesArgs(
            efs_file_system_id=files.file_system_id,
            efs_ready=[*addons.ready, *files.ready],
            local_zone_mounts=mounts(blocks, network),
            volume_tags=settings.aws_tags,
        ),
        in_cluster,
    )
    pools = gpu_pools(settings, network, cluster, in_cluster)
    ready = [*cluster.ready, *network.egress, *classes.default_ready]
    placed = ultra_servers(settings, racks, network, cluster, ready, in_cluster)
    return Place(
        provider=provider,
        storage_class=EFS_CLASS,
        ready=ready,
        files_ready=classes.ready,
        zone_names=network.zone_names,
        pools=pools,
        racks=racks,
        rack_ready=placed.rack_ready,
        gpu_stack=placed.gpu_stack,
        local_zone_class=classes.local_zone_class_name,
        outputs={
            **placed.outputs,
            "cluster": cluster.cluster_name,
            "kubeconfigCommand": update_command(
                settings.cluster_name, region, settings.profile, role.role_arn if role else None
            ),
            "region": region,
            "vpcId": network.vpc_id,
            "efsFileSystemId": files.file_system_id,
        },
    )
