"""Language mixing: what counts as a word of another script, and what does not."""

import random
import re
import unicodedata

import pytest

from qvl.curate.rules.responses import ResponseRules
from qvl.reward.penalties.language import penalty
from qvl.text import mixing
from qvl.text.prose import prose
from qvl.text.scripts import RUNS, SCRIPTS, mixture


def excess(asked, content):
    return mixing.excess(asked, content, may_quote=False)


def cost(asked, content):
    return penalty({"messages": [{"role": "user", "content": asked}]}, {"content": content}).value


def test_scripts_hold_letters_and_marks_alone_and_none_twice():
    every, seen = "".join(map(chr, range(0x80, 0x30000))), {}
    for name, ranges in SCRIPTS.items():
        for letter in re.findall(f"[{ranges}]", every):
            assert unicodedata.category(letter) in LETTERS, (name, hex(ord(letter)))
            assert seen.setdefault(letter, name) == name


LETTERS = (
    "Lu",
    "Ll",
    "Lt",
    "Lm",
    "Lo",
    "Mn",
    "Mc",
    "Me",
    "Cn",
)  # Cn: not assigned, among the others


DANDA = {
    "Bengali": ("Python কী?", "Python একটি ভাষা। এটি সহজ। অনেকে এটি শেখে।"),
    "Punjabi": ("Python ਕੀ ਹੈ?", "Python ਇੱਕ ਭਾਸ਼ਾ ਹੈ। ਇਹ ਸੌਖੀ ਹੈ। ਬਹੁਤ ਲੋਕ ਇਸ ਨੂੰ ਸਿੱਖਦੇ ਹਨ।"),
    "Odia": ("Python କଣ?", "Python ଏକ ଭାଷା। ଏହା ସହଜ। ଅନେକ ଲୋକ ଏହାକୁ ଶିଖନ୍ତି।"),
    "Assamese": ("পাইথন কি?", "পাইথন এটা ভাষা। ই সহজ। বহুতে ইয়াক শিকে॥"),
    "Sinhala": ("Python යනු කුමක්ද?", "Python යනු භාෂාවකි. එය සරලයි।"),
    "Sanskrit in Bengali letters": ("মন্ত্রটি লেখো।", "ওঁ নমঃ শিবায়॥ এটি একটি মন্ত্র॥"),
}


@pytest.mark.parametrize("name", DANDA)
def test_the_danda_is_the_full_stop_of_many_scripts(name):
    asked, content = DANDA[name]
    assert excess(asked, content) == (0.0, "")
    assert cost(asked, content) == 0.0


@pytest.mark.parametrize("language", ["Bengali", "Tamil", "Ukrainian", "Georgian", "Swahili"])
def test_an_answer_in_a_language_that_was_asked_for_is_no_mixture(language):
    content = "রাজধানী ঢাকা। এটি বড় শহর। ভালো শহর।"
    for asked in ("Answer in {}: what is the capital?", "Translate it into {}, please."):
        record = {
            "messages": [
                {"role": "user", "content": asked.format(language)},
                {"role": "assistant", "content": content},
            ]
        }
        assert ResponseRules()(record).turn is None
    record["messages"][0]["content"] = "What is the capital of Bangladesh?"
    verdict = ResponseRules()(record).turn
    assert verdict
    assert verdict.reason == "language-mixing"


@pytest.mark.parametrize(
    ("asked", "content"),
    [
        ("What does it cost?", "It costs ฿100, which is ৳350 or ₽260; ฿50 for students."),
        ("Which year is it?", "It is २०२५, that is 2025, or ২০২৫ in other digits."),
        ("面积是多少？", "长 3 × 宽 4 ÷ 2 × 5 ÷ 6 等于五。"),
        ("What is the sum of the angles?", "With α = 30°, β = 60° and γ = 90°, α + β + γ = 180°."),
        ("Qual è il più grande?", "L'oceano Pacifico è il più grande di tutti, così come è più profondo."),
        ("Thủ đô của Việt Nam là gì?", "Hà Nội là thủ đô của Việt Nam từ năm 1976."),
    ],
)  # fmt: skip
def test_signs_digits_and_formulas_are_no_words(asked, content):
    assert mixture(asked, content)[0] == 0.0
    assert excess(asked, content) == (0.0, "")


@pytest.mark.parametrize(
    ("asked", "content"),
    [
        ("Why is the sky blue?", "வானம் நீல நிறமாக இருப்பதற்குக் காரணம் ஒளிச் சிதறல் ஆகும்."),
        ("Why is the sky blue?", "ఆకాశం నీలం రంగులో కనిపించడానికి కారణం కాంతి పరిక్షేపణం."),
        ("Why is the sky blue?", "ნათელი ცა ლურჯია, რადგან ჰაერი ფანტავს სინათლეს."),
        ("Why is the sky blue?", "Ο ουρανός είναι μπλε επειδή ο αέρας σκεδάζει το φως."),
        ("天空为什么是蓝色的？", "আকাশ নীল কারণ বাতাস আলো ছড়িয়ে দেয়।"),
        ("আকাশ নীল কেন?", "आकाश नीला है क्योंकि हवा प्रकाश को बिखेरती है।"),
        ("आकाश नीला क्यों है?", "আকাশ নীল কারণ বাতাস আলো ছড়িয়ে দেয়।"),
    ],
)
def test_a_text_in_another_script_is_found_in_every_script(asked, content):
    assert excess(asked, content)[0] > 0.9
    assert cost(asked, content) == -1.0


MESSAGES = {
    "zh": [
        "出现 IndexError: list index out of range 是因为下标超出了列表的长度。",
        "报错 list index out of range 表示下标超出了列表的长度，请检查循环的范围。",
        "这个 cannot read properties of undefined 错误说明变量还没有赋值。",
        "终端显示 No such file or directory，说明路径写错了，请检查一下。",
        "错误信息如下：\nexpected all tensors to be on the same device\n请把张量移到同一个设备上。",
        "运行时提示 fatal: not a git repository (or any of the parent directories): .git，请先初始化。",
        "数据库报错：You have an error in your SQL syntax; check the manual that corresponds to your server version，请检查引号。",
        "编译器给出 error[E0502]: cannot borrow `x` as mutable because it is also borrowed as immutable 的提示。",
    ],
    "ko": [
        "list index out of range 오류는 리스트의 길이를 넘는 위치를 읽을 때 발생합니다.",
        "이 코드를 실행하면 TypeError: can only concatenate str (not \"int\") to str 예외가 발생합니다.",
        "오류 메시지가 the server closed the connection unexpectedly 라고 나오면 서버를 확인하세요.",
    ],
    "ja": [
        "list index out of range というエラーは、範囲外の要素を読もうとすると出ます。",
        "エラーメッセージは object of type NoneType has no len です。変数を確認してください。",
    ],
    "ru": [
        "Ошибка list index out of range означает, что индекс больше длины списка.",
        "Если вы видите сообщение the server is not responding in time, проверьте сеть и адрес.",
        "Возникает исключение TypeError: 'NoneType' object is not iterable, так как функция ничего не вернула.",
    ],
    "ar": [
        "يظهر الخطأ list index out of range عندما يكون الفهرس أكبر من طول القائمة.",
        "الرسالة No module named numpy تعني أن المكتبة غير مثبتة على جهازك.",
    ],
    "hi": [
        "list index out of range त्रुटि तब आती है जब सूचकांक सूची की लंबाई से बड़ा होता है।",
        "यह एरर आता है: the object is not callable in this context, क्योंकि चर का नाम फ़ंक्शन जैसा है।",
    ],
    "he": ["השגיאה list index out of range אומרת שהאינדקס גדול מאורך הרשימה."],
    "th": ["ข้อผิดพลาด list index out of range เกิดขึ้นเมื่อดัชนีเกินความยาวของรายการ"],
}  # fmt: skip
ASKED = {
    "zh": "这段代码为什么报错？", "ko": "이 코드는 왜 오류가 나나요?", "ru": "Почему код не работает?",
    "ja": "なぜエラーになりますか？", "ar": "لماذا لا يعمل هذا البرنامج؟", "hi": "यह कोड क्यों नहीं चलता?",
    "he": "למה הקוד לא עובד?", "th": "ทำไมโค้ดนี้ไม่ทำงาน",
}  # fmt: skip


@pytest.mark.parametrize("language", MESSAGES)
def test_messages_of_programs_are_quoted_in_any_language(language):
    for content in MESSAGES[language]:
        assert excess(ASKED[language], content) == (0.0, ""), content
        assert cost(ASKED[language], content) == 0.0, content


@pytest.mark.parametrize(
    ("language", "content"),
    [
        ("zh", "这段代码有错误。Then you have to change the loop so that it ends in time. 这样就行了。"),
        ("zh", "我们先 initialize the array with zeros，然后 loop over all of the elements。"),
        ("ko", "먼저 you have to open the file 그리고 나서 read all of its lines 하면 됩니다."),
        ("ru", "Сначала откройте файл. Then you read all of its lines and count the words. Готово."),
        ("ar", "افتح الملف أولا ثم read all of the lines in it and count them بعد ذلك."),
        ("hi", "पहले फ़ाइल खोलें, then you read all of the lines in it and count them for me."),
    ],
)  # fmt: skip
def test_english_that_is_no_message_counts(language, content):
    assert excess(ASKED[language], content)[0] > 0.05
    assert cost(ASKED[language], content) < 0


def test_a_share_is_never_above_one():
    japanese, chinese = (
        "空はなぜ青いのですか？",
        "因为空气，会更多地、散射；短波长的光（蓝光）：是的 1234567890。",
    )
    share, _ = mixture(japanese, chinese * 3)
    assert 0.9 < share <= 1.0
    assert cost(japanese, chinese * 3) == -1.0
    draw = random.Random(0)
    letters = "的是了 ，、。1a bc d\nかなカナ한글абв कखग " + "".join(chinese)
    for _ in range(500):
        asked, text = ("".join(draw.choices(letters, k=draw.randint(1, 60))) for _ in range(2))
        for may_quote in (False, True):
            assert 0.0 <= mixture(asked, text, may_quote=may_quote)[0] <= 1.0
        assert -1.0 <= cost(asked, text) <= 0.0


def test_prose_is_without_what_is_quoted():
    for text in (
        "`a b`", "``a ` b``", "~~~\na b\n~~~", "„a b“", "«a b»", "ValueError: a b", "https://a.b/c",
    ):  # fmt: skip
        assert prose(f"x {text} y").split() in (["x", "y"], ["x"]), text
    assert prose("The Errors of youth are many.") == "The Errors of youth are many."
    assert all(RUNS)
