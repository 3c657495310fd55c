"""Mathematical answers: read LaTeX or plain text into a tree, and tell whether two trees are equal."""
