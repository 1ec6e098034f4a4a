"""NVIDIA's stack on the nodes of UltraServers: DRA driver, GPU Operator, EFA device plugin."""
