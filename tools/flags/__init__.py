"""Tables of the flags that each release of Dynamo and its engines have, read from their own parsers."""
