"""Which records a training stage takes: by difficulty, by need of the image, by choice among responses."""
