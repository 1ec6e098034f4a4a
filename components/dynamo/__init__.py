"""The Dynamo platform, cached models and graphs."""
