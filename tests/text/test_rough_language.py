"""A language for counting."""

from pathlib import Path

import orjson

from qvl.text.languages import rough_language

LABELLED = Path(__file__).parent.parent / "reward" / "verifiers" / "languages.jsonl"


def test_questions_have_their_language():
    for text, language in (
        ("How many of the bars in the chart are higher than the mean?", "en"),
        ("Combien de barres sont plus hautes que la moyenne dans ce graphique ?", "fr"),
        ("¿Cuántas de las barras son más altas que la media del gráfico?", "es"),
        ("Wie viele der Balken sind höher als der Durchschnitt?", "de"),
        ("图中有多少个红色的方块？", "zh"),
        ("赤い四角はいくつありますか。", "ja"),
        ("빨간 사각형이 몇 개 있습니까?", "ko"),
        ("Сколько красных квадратов на картинке?", "cyrillic"),
        ("كم عدد المربعات الحمراء؟", "arabic"),
        ("17 + 25 = ?", None),
        ("", None),
        ("What does 北京 mean in the first line of the sign?", "en"),
    ):
        assert rough_language(text) == language, text


def test_labelled_sentences_are_right_or_unknown():
    """Of nine languages; a short sentence may have too few function words to be told."""
    rows = [orjson.loads(line) for line in LABELLED.read_bytes().splitlines()]
    right = wrong = 0
    for row in rows:
        if row["language"] not in ("en", "de", "fr", "es", "it", "pt", "zh", "ja", "ko"):
            continue
        for sentence in row["sentences"]:
            found = rough_language(sentence)
            right += found == row["language"]
            wrong += found not in (row["language"], None)
    assert (right, wrong) >= (20, 0)
    assert wrong == 0
