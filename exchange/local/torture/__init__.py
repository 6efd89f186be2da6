"""Torturing an exchange of one's own: a schedule by seed, the strokes, what they meet, and the reckoning afterwards."""
