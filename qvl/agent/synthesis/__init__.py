"""The cold start of an agent: questions of two turns from annotated images (report 4.5).

The report synthesizes about 10,000 grounding examples, "primarily simple two-turn visual question answering
tasks such as attribute detection", and fine-tunes on think, act, analyze feedback, answer. What is made
here is replayed through the real tool and verified before it is written.
"""
