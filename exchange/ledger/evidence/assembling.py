"""From the proving parts to the whole file: everything else in it follows from them, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.ledger.evidence import contents
from exchange.ledger.evidence.archive import pack
from exchange.ledger.evidence.guide import readme, signature_parts
from exchange.ledger.evidence.page import page
from exchange.ledger.evidence.story import Story, read_story


def assemble(sources: Mapping[str, bytes]) -> bytes:
    """The evidence file of these proving parts and stamps.

    Raises: Rejected as `read_story`, if they tell no story.
    """
    return pack(whole(sources, read_story(sources)))


def whole(sources: Mapping[str, bytes], story: Story) -> dict[str, bytes]:
    """All parts of a file, in its order: the manifest first."""
    others = {contents.README: readme(story), contents.PAGE: page(story)}
    others |= {name: sources[name] for name in (*contents.SOURCES, *story.stamps)}
    others |= signature_parts(story)
    return {contents.MANIFEST: contents.manifest(others, story.about), **others}
