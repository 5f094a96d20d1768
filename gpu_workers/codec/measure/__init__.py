"""Measurement: each number defined once, with its source, and checked against a second implementation."""
