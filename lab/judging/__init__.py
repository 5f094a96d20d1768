"""Judging without a clock, disk or network: goals, the Pareto front, its hypervolume, and how sure a difference is."""
