"""GPU capacity under EKS Auto Mode: pools, reservations, node roles, and the table of instance types."""
