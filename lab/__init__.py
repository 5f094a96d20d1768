"""The nouns and contracts of the laboratory, pure judging, and the two backends. Imports nothing else of ours."""
