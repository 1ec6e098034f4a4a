"""The offline plan: what a reviewer reads before `pulumi up`."""
