"""Stack files and the one reader of them."""
