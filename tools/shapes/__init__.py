"""Derives the strict check's tables from CRDs, chart values and Kubernetes' own schemas (`make shapes FROM=…`)."""
