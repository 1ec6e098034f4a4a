"""The EKS cluster, who may use it, and how the program reaches it."""
