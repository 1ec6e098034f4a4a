"""Jobs that prove, in the cluster and during `up`, that what was made works."""
