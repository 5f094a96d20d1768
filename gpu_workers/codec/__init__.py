"""The codec track: video experiments. Nothing outside this folder knows what a codec is."""
