"""Images and videos: behind which references they are, their pixels, and their patches."""
