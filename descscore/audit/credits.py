"""Credits and licences, told from descriptions."""

from __future__ import annotations

import re

from descscore.audit import vocabulary as words

_OF_AN_IMAGE = (
    r"(?:(?:an?\ |the\ )?(?:photo|image|picture|photograph|illustration|artwork|graphic)s?\s)"
)
_OPENING = re.compile(
    rf"""
    (?:
    # "Photo: ", "Photo credit: ", "Crédit photo : "
    {words.CREDIT_KEYS}(?:\s(?:credits?|crédits?|by|courtesy(?:\ of)?|source|rights|photo|image))?
    \s*[:\uff1a]
    # "Photo by ", "via "
    |{_OF_AN_IMAGE}?(?:taken\ |made\ |provided\ )?by\s|via\s
    # Nobody describes an image in this way.
    |(?P<certain>{_OF_AN_IMAGE}?(?:(?:was\ |is\ )?courtesy(?:\ of)?\s|credits?\ to\s)
    |©|\(c\)\s|copyright\s)
    )\s*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LICENCE = re.compile(
    r"""
    \bcc[\s-]?(?:by|0|zero)(?:[\s-](?:sa|nc|nd))*(?:[\s-]?\d\.\d)?|creative\ commons(?:\ zero)?
    |public\ domain|(?:all|some)\ rights\ reserved|\bgfdl\b|gemeinfrei
    |alle\ rechte\ vorbehalten|tous\ droits\ réservés|(?:used\ )?with\ permission
    |(?:(?:distributed|released|published|shared|available|licen[sc]ed|used)\ )?
    \b(?:under|unter)\ (?:an?\ |the\ |der\ |einer\ )?|\blicen[sc]e[ds]?\b|\blizenz\b|attribution
    |share-?alike|\b(?:19|20)\d\d\b|\b\d\.\d\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BETWEEN = re.compile(r"[\s/,;|()&.\u2013\u2014]+")
_BRACKETED = re.compile(r"[(\[](.*)[)\]]")
_AROUND = " .()[]|\u2013\u2014-"
_LONGEST = 16
_MOST_CHARACTERS = 300
_PARTICLES = {"van", "von", "der", "den", "via", "bin", "al", "ibn", "ten", "ter", "zu"}


def is_credit(text: str) -> bool:
    """The text says who made an image, or on which terms, and nothing else."""
    if len(text) > _MOST_CHARACTERS:
        return False
    text = text.strip(" .")
    if bracketed := _BRACKETED.fullmatch(text):
        text = bracketed[1].strip(" .")
    if not text or len(text.split()) > _LONGEST:
        return False
    if found := _OPENING.match(text):
        return bool(found["certain"]) or _is_who(text[found.end() :])
    named = [each for each in _BETWEEN.split(text.casefold()) if each]
    sells = any(each in words.AGENCIES for each in named)
    if all(each in words.AGENCIES or each in words.AGENCY_WORDS for each in named):
        return sells
    if not _is_who(text):
        return False
    shows = sells or any(each in words.HOSTS for each in named)
    return not _BETWEEN.sub("", _LICENCE.sub("", text)) or (
        shows and ("/" in text or "via" in named or "getty" in named)
    )


def without_credit(text: str) -> str:
    """A caption without the credit at its end."""
    ends = re.compile(r"[(\[|\u2013\u2014]|(?<=[.!?])\s")
    for found in ends.finditer(text, max(len(text) - _MOST_CHARACTERS, 0)):
        if is_credit(text[found.start() :].strip(_AROUND)):
            return text[: found.start()].rstrip()
    return text


def _is_who(text: str) -> bool:
    """Names, agencies and licences, and no other words."""
    rest = [each for each in _BETWEEN.split(_LICENCE.sub(" ", text)) if each]
    known = words.AGENCIES | words.HOSTS | words.AGENCY_WORDS | words.LINKING | _PARTICLES
    if not rest:
        return bool(_LICENCE.search(text))
    return len(rest) <= 8 and all(
        each[0].isupper() or each[0] == "@" or each.casefold() in known for each in rest
    )
