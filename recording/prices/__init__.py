"""What AWS charges, as dated data with its sources, and how it is asked for."""
