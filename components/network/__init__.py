"""VPC, subnets, ways out and the group that EFA needs."""
