"""Components of the deployment, by layer."""
