"""Tools that derive the data files which the program and the plan read."""
