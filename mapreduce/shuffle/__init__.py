"""Pairs between the functions: columns, their places, segments, groups."""
