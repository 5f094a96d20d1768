"""Everything that turns an `.aec` stream back into frames. Imports nothing of the encoders or of training."""
