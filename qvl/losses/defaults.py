"""The constants of the policy losses, as their papers state them. No heavy import."""

TAU_POS = 1.0
"""SAPO's temperature where the advantage is positive (arXiv 2511.20347, section 5)."""
TAU_NEG = 1.05
"""SAPO's temperature elsewhere: above the other, because a negative advantage raises the logits of
every token but the sampled one (arXiv 2511.20347, sections 4.1 and 5)."""
GRPO_CLIP_LOW, GRPO_CLIP_HIGH = 0.2, 0.27
"""GRPO's clipping range as the baseline of GSPO's paper (arXiv 2507.18071, section 5.1)."""
GSPO_CLIP_LOW, GSPO_CLIP_HIGH = 3e-4, 4e-4
"""GSPO's clipping range of the sequence ratio (arXiv 2507.18071, section 5.1)."""
