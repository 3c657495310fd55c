"""On-policy samples: queries in, groups of responses with rewards and advantages out, a file per step."""
