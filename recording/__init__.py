"""The program run without an engine: what it registers, what AWS would answer, and how both are read."""
