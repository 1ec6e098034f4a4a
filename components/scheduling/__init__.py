"""Gang scheduling of multi-node graphs: KAI scheduler, Grove, and the queues and topology they work with."""
