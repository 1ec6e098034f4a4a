"""Speed of the plan, as ratios within one run (`make bench`)."""
