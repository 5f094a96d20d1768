"""The worker, and the tracks that run in it. Imports `lab` and nothing else of ours."""
