"""What an operator does around the engine: recover an interrupted operation, look before an `up`, look before a destroy."""
