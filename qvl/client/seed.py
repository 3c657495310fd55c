"""The seed of one sample, a function of the record, the sample's number and the seed of the run."""

import hashlib

SEEDED_BITS = 31  # engines take seeds as signed integers of 32 bits or more


def sample_seed(seed: int, identity: str, index: int) -> int:
    """The seed of sample `index` of the record `identity` in a run with this seed.

    It depends on nothing else, so a run that is resumed, reordered or sharded sends the same requests.
    """
    digest = hashlib.blake2b(f"{seed}:{index}:{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEEDED_BITS)
