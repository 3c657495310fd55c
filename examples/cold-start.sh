#!/usr/bin/env bash
# Data for the long-CoT cold start, as in the Qwen3-VL report (arXiv 2511.21631), section 4.2.2.
#
#     examples/cold-start.sh FOLDER RAW
#
# FOLDER receives every file, RAW is a stream of records with a task and an answer. The samples decide
# what is hard. The turn to train on is a sample that passes, else a last assistant turn of RAW that
# passes, in both formats: thinking.jsonl.zst if it has reasoning, and standard.jsonl.zst. Finished stages
# are skipped, interrupted ones are resumed, and each stage keeps its rejects.
# Our choice, as the report publishes none of these (variables of the environment):
#   QVL_ENDPOINT=URL       the baseline to sample from, required (`qvl serve` sets it)
#   QVL_TEXT_ENDPOINT=URL  the text model that gets no image; by default QVL_ENDPOINT
#   K=4                    answers per query
#   MAX_PASS_RATE=0.5      keep queries of which at most this share passes,
#   MIN_TOKENS=2000        or whose answers have this many tokens on average
#   BLIND_SAMPLES=4        answers without the image
#   MAX_TOKENS=32768       maximum number of tokens to generate
#   JUDGE=URL              server of a judge; without it the rules alone score (JUDGE_MODEL=NAME)
#   JUDGE_MIN=0.75         drop answers that it grades lower, on correctness or vision
#   BY=EXPRESSION          choose the answer with the highest value; by default
#                          scores.judge_correctness with JUDGE, else the first that passed
#   MEDIA=DIR              base folder of media paths; by default that of RAW
set -euo pipefail

[ $# -eq 2 ] || { printf 'usage: %s FOLDER RAW\n' "$0" >&2; exit 2; }
[ -e "$2" ] || { printf '%s: no such file\n' "$2" >&2; exit 2; }
endpoint=${QVL_ENDPOINT:?set it to the URL of a served model}
mkdir -p "$1"
folder=$(realpath "$1") raw=$(realpath "$2")
media=$(realpath "${MEDIA:-$(dirname "$raw")}")
cd "$folder"

say() { printf '\n== %s\n' "$1" >&2; }
judge=()
[ -z "${JUDGE:-}" ] || judge=(--judge "$JUDGE" ${JUDGE_MODEL:+--judge-model "$JUDGE_MODEL"} --media-root "$media" --resume)
least=()
[ -z "${JUDGE:-}" ] ||
    least=(--min "judge_correctness=${JUDGE_MIN:-0.75}" --min "judge_vision=${JUDGE_MIN:-0.75}")
[ -n "${JUDGE:-}" ] || say "JUDGE is not set: no model grades the answers; the rules alone decide"

say "Sample a baseline, and verify"
[ -e sampled.jsonl.zst ] ||
    qvl generate -n "${K:-4}" --endpoint "$endpoint" --max-tokens "${MAX_TOKENS:-32768}" \
        --media-root "$media" --resume "$raw" -o sampled.jsonl.zst
[ -e verified.jsonl.zst ] ||
    qvl verify --resume sampled.jsonl.zst --rejects rejected-verify.jsonl.zst -o verified.jsonl.zst

say "Difficulty: a low pass rate, or long answers"
[ -e hard.jsonl.zst ] ||
    qvl filter-difficulty --max-pass-rate "${MAX_PASS_RATE:-0.5}" --min-tokens "${MIN_TOKENS:-2000}" \
        verified.jsonl.zst --rejects rejected-difficulty.jsonl.zst -o hard.jsonl.zst

# The report does this for visual mathematics only; the rest skips it.
say "Necessity of the image: visual mathematics that a text model solves goes"
[ -e visual-math.jsonl.zst ] ||
    qvl select 'task == "math" and modality() == "multimodal"' hard.jsonl.zst -o visual-math.jsonl.zst
[ -e others.jsonl.zst ] ||
    qvl select 'not (task == "math" and modality() == "multimodal")' hard.jsonl.zst -o others.jsonl.zst
[ -e seen.jsonl.zst ] ||
    qvl filter-vision --text-endpoint "${QVL_TEXT_ENDPOINT:-$endpoint}" -n "${BLIND_SAMPLES:-4}" \
        --max-tokens "${MAX_TOKENS:-32768}" --resume visual-math.jsonl.zst \
        --rejects rejected-blind.jsonl.zst -o seen.jsonl.zst

say "Answers: the rules, then scores"
[ -e responses.jsonl.zst ] ||
    qvl cat seen.jsonl.zst others.jsonl.zst |
    qvl filter-responses --rejects rejected-responses.jsonl.zst -o responses.jsonl.zst
[ -e scored.jsonl.zst ] ||
    qvl score-responses responses.jsonl.zst "${judge[@]}" "${least[@]}" --min correctness=1 \
        --rejects rejected-scores.jsonl.zst -o scored.jsonl.zst

say "Choose one answer per query as the turn to train on"
by=${BY:-${JUDGE:+scores.judge_correctness}}
[ -e chosen.jsonl.zst ] ||
    qvl choose ${by:+--by "$by"} scored.jsonl.zst \
        --rejects rejected-choice.jsonl.zst -o chosen.jsonl.zst

say "Vision and text, about 1:1 (4.2.2)"
[ -e mixed.jsonl.zst ] ||
    qvl shuffle chosen.jsonl.zst |
    qvl mix --ratio cold-start --rejects rejected-mix.jsonl.zst -o mixed.jsonl.zst

say "Both formats of SFT: thinking, and standard (4.2.1)"
for format in thinking standard; do
    [ -e "$format.jsonl.zst" ] ||
        qvl choose --format "$format" mixed.jsonl.zst \
            --rejects "rejected-$format.jsonl.zst" -o "$format.jsonl.zst"
done
