"""What a stack is made of, in order. Wiring only: components make the resources, pure modules decide."""
