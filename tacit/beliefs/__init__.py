"""Distributions over theta."""
