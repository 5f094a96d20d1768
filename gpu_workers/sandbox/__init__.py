"""The box in which code that nobody trusts runs: what it sees, what it may ask of the kernel, and how it ends."""
