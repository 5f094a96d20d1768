"""The front door: `aether …`. Each command imports its room only when it is run."""
