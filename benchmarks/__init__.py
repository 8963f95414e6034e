"""Measurements of the product as its user runs it. See README.md."""
