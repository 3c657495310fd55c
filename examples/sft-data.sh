#!/usr/bin/env bash
# Data for supervised fine-tuning, as in the Qwen3-VL report (arXiv 2511.21631), section 4.2.1.
#
#     examples/sft-data.sh FOLDER RAW MODEL
#
# FOLDER receives every file, RAW is a stream of records, MODEL the Hugging Face folder to pack for.
# The turn to train on is a sampled answer that passed every stage, else the last assistant turn of RAW,
# in both formats: standard.jsonl.zst, and thinking.jsonl.zst if it has reasoning. Finished stages are
# skipped, and each stage keeps its rejects.
#
# Our choice, as the report publishes none of these (variables of the environment):
#   JUDGE=URL         server of a judge; without it the two judge stages are skipped, the rules stay
#   JUDGE_MODEL=NAME  its name, if several are served
#   QVL_ENDPOINT=URL  sample K=1 answers per query beside the turn of RAW; without it none
#   MAX_TOKENS=32768  maximum number of tokens to generate
#   BY=EXPRESSION     choose the sampled answer with the highest value; by default
#                     scores.judge_correctness with JUDGE, else the first that passed
#   JUDGE_MIN=0.75    drop answers that the judge grades lower, on correctness or vision
#   FORMAT=standard   the format to pack: standard or thinking
#   AGAINST=FILE      evaluation set to decontaminate against; without it none
#   NEAR=0.9          similarity from which queries are duplicates
#   MEDIA=DIR         base folder of media paths; by default that of RAW
set -euo pipefail

[ $# -eq 3 ] || { printf 'usage: %s FOLDER RAW MODEL\n' "$0" >&2; exit 2; }
for file in "$2" "$3/config.json" ${AGAINST:+"$AGAINST"}; do
    [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
mkdir -p "$1"
folder=$(realpath "$1") raw=$(realpath "$2") model=$(realpath "$3")
media=$(realpath "${MEDIA:-$(dirname "$raw")}")
against=${AGAINST:+$(realpath "$AGAINST")}
cd "$folder"

say() { printf '\n== %s\n' "$1" >&2; }
judge=()
[ -z "${JUDGE:-}" ] || judge=(--judge "$JUDGE" ${JUDGE_MODEL:+--judge-model "$JUDGE_MODEL"} --media-root "$media" --resume)
least=()
[ -z "${JUDGE:-}" ] ||
    least=(--min "judge_correctness=${JUDGE_MIN:-0.75}" --min "judge_vision=${JUDGE_MIN:-0.75}")
[ -n "${JUDGE:-}" ] || say "JUDGE is not set: what a judge would drop stays; the rules alone decide"

say "Queries: verifiable, clear, with substance"
[ -e queries.jsonl.zst ] ||
    qvl filter-queries "$raw" "${judge[@]}" --rejects rejected-queries.jsonl.zst -o queries.jsonl.zst

answered=queries.jsonl.zst
if [ -n "${QVL_ENDPOINT:-}" ]; then
    say "Sample answers"
    answered=answered.jsonl.zst
    [ -e "$answered" ] ||
        qvl generate -n "${K:-1}" --endpoint "$QVL_ENDPOINT" --max-tokens "${MAX_TOKENS:-32768}" \
            --media-root "$media" --resume queries.jsonl.zst -o "$answered"
fi

say "Answers: the rules, then scores"
[ -e responses.jsonl.zst ] ||
    qvl filter-responses "$answered" --rejects rejected-responses.jsonl.zst -o responses.jsonl.zst
[ -e scored.jsonl.zst ] ||
    qvl score-responses responses.jsonl.zst "${judge[@]}" "${least[@]}" --min correctness=1 \
        --rejects rejected-scores.jsonl.zst -o scored.jsonl.zst

say "Choose one answer per query as the turn to train on"
by=${BY:-${JUDGE:+scores.judge_correctness}}
[ -e chosen.jsonl.zst ] ||
    qvl choose ${by:+--by "$by"} scored.jsonl.zst \
        --rejects rejected-choice.jsonl.zst -o chosen.jsonl.zst

clean=chosen.jsonl.zst
if [ -n "$against" ]; then
    say "Drop what an evaluation set asks"
    clean=clean.jsonl.zst
    [ -e "$clean" ] ||
        qvl decontaminate --against "$against" chosen.jsonl.zst \
            --rejects rejected-seen.jsonl.zst -o "$clean"
fi

say "Remove duplicates; mix one third text, two thirds multimodal (4.2.1)"
[ -e single.jsonl.zst ] ||
    qvl dedup --near "${NEAR:-0.9}" --media-root "$media" "$clean" \
        --rejects rejected-duplicates.jsonl.zst -o single.jsonl.zst
[ -e mixed.jsonl.zst ] ||
    qvl shuffle single.jsonl.zst |
    qvl mix --ratio sft --rejects rejected-mix.jsonl.zst -o mixed.jsonl.zst

say "Both formats of SFT: standard, and thinking (4.2.1)"
for format in standard thinking; do
    [ -e "$format.jsonl.zst" ] ||
        qvl choose --format "$format" mixed.jsonl.zst \
            --rejects "rejected-$format.jsonl.zst" -o "$format.jsonl.zst"
done

say "Pack: one epoch at 32k, then one at 256k (4.2.1)"
for context in 32k 256k; do
    [ -e "packed-$context.jsonl.zst" ] ||
        qvl pack --model "$model" --context "$context" --media-root "$media" --resume \
            --rejects "rejected-$context.jsonl.zst" "${FORMAT:-standard}.jsonl.zst" -o "packed-$context.jsonl.zst"
done
