"""`make serve`: a stack's mocker graphs on this machine, run by the real Dynamo as they are rendered for a cluster."""
