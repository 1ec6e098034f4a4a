"""Shapes of custom resources and chart values, and the walker that holds objects against them."""
