"""What becomes of texts beyond the model's window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descscore import CLIPSCORE_PREFIX, DescriptionScore
from descscore.errors import OptionError, TextError
from tests.conftest import ROOT

# With the random weights some of the sentences below score above zero, and some below.
IMAGE = ROOT / "examples" / "photos" / "rocket.jpg"
SENTENCES = [
    "A photo of a dog on the beach near the red sofa.",
    "Two cats sleep on an old clock!",
    "Who is in the photo?",
    "Nobody knows.",
]
SHORT, LONG = "A photo of a dog.", " ".join(SENTENCES * 2)


def metric(folder: Path, **options: object) -> DescriptionScore:
    return DescriptionScore(folder, scale=options.pop("scale", "cosine"), **options)


def scored(folder: Path, texts: list[str], **options: object) -> np.ndarray:
    return metric(folder, **options)(IMAGE, texts).scores


def test_truncation_is_flagged_and_tokens_are_counted_before_it(tiny_clip: Path) -> None:
    result = metric(tiny_clip)(IMAGE, [SHORT, LONG])
    assert result.truncated.tolist() == [False, True]
    short, long = result.n_tokens
    assert short < 77 < long
    assert metric(tiny_clip)(IMAGE, [LONG + " " + LONG]).n_tokens.item() == 2 * long - 2


def test_a_truncated_text_scores_as_what_fits_and_not_as_any_long_text(tiny_clip: Path) -> None:
    one, other, alike = scored(tiny_clip, [LONG, "Not " + LONG, LONG + " More."])
    assert one != other
    assert one == alike


def test_sentences_average_the_scores_of_sentences(tiny_clip: Path) -> None:
    of_sentences = scored(tiny_clip, SENTENCES, scale="clipscore")
    whole = scored(tiny_clip, [LONG], long_text="sentences", scale="clipscore")
    assert 0 < (of_sentences > 0).sum() < len(SENTENCES), "clamping must matter here"
    np.testing.assert_allclose(whole, [of_sentences.mean()], rtol=0, atol=1e-6)


def test_sentences_leave_texts_within_the_window_whole(tiny_clip: Path) -> None:
    text = " ".join(SENTENCES[2:])
    assert scored(tiny_clip, [text], long_text="sentences") == scored(tiny_clip, [text])


def test_sentences_are_flagged_only_if_one_of_them_is_too_long(tiny_clip: Path) -> None:
    endless = LONG + " And so on" * 50 + "."
    result = metric(tiny_clip, long_text="sentences")(IMAGE, [LONG, endless])
    assert result.truncated.tolist() == [False, True]
    assert (result.n_tokens > 77).all()


def test_the_prefix_goes_before_every_text_and_every_sentence(tiny_clip: Path) -> None:
    prefix = "An old photo: "
    assert scored(tiny_clip, [SHORT], prefix=prefix) == scored(tiny_clip, [prefix + SHORT])
    of_sentences = scored(tiny_clip, [prefix + sentence for sentence in SENTENCES])
    whole = scored(tiny_clip, [LONG], prefix=prefix, long_text="sentences")
    np.testing.assert_allclose(whole, [of_sentences.mean()], rtol=0, atol=1e-6)


def test_the_prefix_counts_towards_the_window(tiny_clip: Path) -> None:
    prefix = "A photo depicts "
    plain, prefixed = metric(tiny_clip), metric(tiny_clip, prefix=prefix)
    text = "dog " * 60
    counts = [one(IMAGE, text).n_tokens.item() for one in (plain, prefixed)]
    assert counts[0] < counts[1]
    assert counts[1] - counts[0] == plain(IMAGE, prefix).n_tokens.item() - 2


def test_long_texts_are_refused_if_asked(tiny_clip: Path) -> None:
    strict = metric(tiny_clip, long_text="error")
    assert not strict(IMAGE, SHORT).truncated.any()
    tokens = metric(tiny_clip)(IMAGE, LONG).n_tokens.item()
    message = rf"^text 1 \('A photo of a dog.*\.\.\..*\) has {tokens} tokens .* is 77; shorten it"
    with pytest.raises(TextError, match=message):
        strict(IMAGE, [SHORT, LONG])
    recorded = metric(tiny_clip, long_text="error", on_error="record")(IMAGE, [LONG, SHORT, LONG])
    assert np.isnan(recorded.scores).tolist() == [True, False, True]
    assert [error and error.split()[1] for error in recorded.errors] == ["0", None, "2"]
    assert recorded.n_tokens.tolist()[::2] == [0, 0]


@pytest.mark.parametrize("token", ["<|startoftext|>", "<|endoftext|>"])
def test_a_text_that_spells_a_control_token_is_read_as_its_characters(
    tiny_clip: Path, token: str
) -> None:
    plain = metric(tiny_clip)
    ids: Any = plain._pipeline.transform.tokenizer.convert_tokens_to_ids([token])
    (tokens,) = plain._pipeline.transform([f"a {token} dog"])
    assert not {*ids} & {*tokens.ids[1:-1]}
    # As CLIP's tokenizer splits other words between marks, apart from the letters.
    assert tokens.length > plain._pipeline.transform(["a dog"])[0].length + 4
    one, other, whole = plain(IMAGE, [f"a {token} dog", f"a {token} cat", "a"]).scores
    assert len({one, other, whole}) == 3
    prefixed = metric(tiny_clip, prefix=f"{token} ")(IMAGE, "a dog").scores
    assert prefixed == pytest.approx(plain(IMAGE, f"{token} a dog").scores, abs=1e-6)


@pytest.mark.parametrize("prefix", ["", "A photo depicts "])
@pytest.mark.parametrize("unseen", ["\u200b", "\ufeff\ufeff", "\u00ad", "\0", "\u3164", "\u0301"])
def test_texts_that_show_nothing_fail_as_white_space_does(
    tiny_clip: Path, unseen: str, prefix: str
) -> None:
    recording = metric(tiny_clip, prefix=prefix, on_error="record", scale="clipscore")
    result = recording(IMAGE, [unseen, f"a dog{unseen}", "a dog"])
    assert result.errors[0].startswith(f"text 0 is empty ({unseen!a}); give a text")
    assert np.isfinite(result.scores[1:]).all()
    referred = recording([IMAGE] * 2, ["a dog"] * 2, references=["a dog", [unseen, "a dog"]])
    assert np.isnan(referred.scores).tolist() == [False, True]
    assert referred.errors[1].startswith("reference 0 of image 1 is empty")
    assert recording.embed_texts([unseen]).errors[0].startswith("text 0 is empty")


DIRTY = {
    "schÃ¶n &amp; gut": "schön & gut",
    "&amp;lt;b&amp;gt; a\u00a0dog ": "<b> a dog",
    "l&#39;été\n\n  à   la plage": "l'été à la plage",
    "ﬁne “dogs”": 'fine "dogs"',
}


@pytest.mark.parametrize("dirty", DIRTY)
def test_published_clipscores_are_of_cleaned_texts(tiny_clip: Path, dirty: str) -> None:
    # CLIP's own tokenizer: ftfy, HTML's entities twice, white space; expected values by hand.
    published = metric(tiny_clip, prefix=CLIPSCORE_PREFIX)
    raw = metric(tiny_clip, prefix=CLIPSCORE_PREFIX, clean=False)
    (cleaned,) = published(IMAGE, dirty).scores
    assert cleaned == pytest.approx(raw(IMAGE, DIRTY[dirty]).scores.item(), abs=1e-6)
    plain, clean = metric(tiny_clip), metric(tiny_clip, clean=True)
    assert plain(IMAGE, dirty).scores != clean(IMAGE, dirty).scores
    assert "|clean:ftfy-" in published.signature
    assert "clean" not in raw.signature + plain.signature
    scored = metric(tiny_clip, clean=True, scale="clipscore")
    referred = scored(IMAGE, "a dog", references=[dirty]).scores
    assert referred == scored(IMAGE, "a dog", references=[DIRTY[dirty]]).scores


def test_a_text_of_which_cleaning_leaves_nothing_fails(tiny_clip: Path) -> None:
    recording = metric(tiny_clip, clean=True, on_error="record")
    result = recording(IMAGE, ["&#8203;&shy;", "a dog"])
    assert result.errors[0].startswith("text 0 is empty")
    assert result.errors[1] is None
    with pytest.raises(OptionError, match="clean is 'yes'; give True, False or None"):
        metric(tiny_clip, clean="yes")


def test_references_are_prefixed_and_split_too(tiny_clip: Path) -> None:
    def reference_score(reference: str, **options: object) -> float:
        scorer = metric(tiny_clip, scale="clipscore", **options)
        return scorer(IMAGE, SHORT, [reference]).reference_scores.item()

    assert reference_score(SHORT, prefix="An old photo: ") == pytest.approx(1, abs=1e-6)
    assert reference_score(LONG) != reference_score(LONG, long_text="sentences")
