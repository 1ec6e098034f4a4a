"""Models set against GPUs: what a model is (facts), what it takes of a GPU (memory), and what a GPU can run (formats)."""
