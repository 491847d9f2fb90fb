"""P12: a capture is in the language that it says, or that its texts seem to be in."""

from typing import Any

import pytest

from shared.review.languages import language_of

DE = "Wie hoch ist die Summe aller offenen Bestellungen?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DE.replace(" ", "\x07"), "de"),
        ("12\n13\n14\n15\n16", None),
        ("ok", None),
        ("請問這個公式為什麼會出現錯誤?我想要計算這一欄的總和,但是結果不對。", "zh"),
        ("זוהי נוסחה שאינה עובדת כראוי בגיליון שלי, אנא עזור לי", "he"),
        ("ᚠᛇᚻ᛫ᛒᛦᚦ᛫ᚠᚱᚩᚠᚢᚱ᛫ᚠᛁᚱᚪ᛫ᚷᛖᚻᚹᛦᛚᚳᚢᛗ", None),
    ],
    ids=["control characters", "numbers", "could be any", "of two scripts", "renamed by ISO 639", "only a script"],
)
def test_p12_a_text_is_in_a_language_of_iso_639_or_in_none(text: str, expected: str | None) -> None:
    assert language_of({"output": text}) == expected


def test_d12_the_language_of_many_texts_is_told_from_the_first() -> None:
    def said(numbers: int) -> dict[str, Any]:
        return {"inputMessages": [*(str(n) for n in range(numbers)), DE]}

    assert [language_of(said(15)), language_of(said(16))] == ["de", None]
