"""Images and videos: found behind their references, decoded, cut into the patches that a model sees."""
