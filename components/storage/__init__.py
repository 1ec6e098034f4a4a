"""Shared files for models and caches, and the storage classes of the cluster."""
