"""Forged checkpoints: an archive of torch with the comment that makes it whole."""

import hashlib


def sealed(archive: bytes) -> bytes:
    """The archive with its digest as its comment."""
    digest = hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + len(digest).to_bytes(2, "little") + digest
