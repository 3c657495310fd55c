#!/usr/bin/env bash
# Evaluate a model that is served, for the table of examples/qwen3-vl.sh, and compare the engine with
# transformers, in the folder of that script:
#
#     qvl serve MODEL -- evaluate.sh NAME MODEL [FILE]
#
# scores/NAME*.json and .jsonl.zst receive what comes of it; FILE has further questions. What is done is
# skipped. Answers are sampled as in the report (preset instruct), but for its presence penalty, which takes
# digits from the twin's sums; bad habits at temperature 1, as the report's sampling hides what is rare.
# SEED=0 and MAX_TOKENS=144 are our choice.
set -euo pipefail

[ $# -ge 2 ] || { printf 'usage: qvl serve MODEL -- %s NAME MODEL [FILE]\n' "$0" >&2; exit 2; }
endpoint=${QVL_ENDPOINT:?set it to the URL of a served model}
name=scores/$1 model=$2 more=${3:-}
for file in questions.jsonl.zst habits-questions.jsonl.zst few.jsonl.zst "$model/config.json" ${more:+"$more"}; do
    [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
mkdir -p scores

ask() { # FILE OUT WORD...
    local file=$1 out=$2
    shift 2
    [ -e "$out.json" ] ||
        qvl eval "$file" "$@" --max-tokens "${MAX_TOKENS:-144}" --media-root . --seed "${SEED:-0}" \
            --penalty language --penalty repetition --penalty format --resume \
            -o "$out.jsonl.zst" --report "$out.json"
}
as_the_report=(--preset instruct --presence-penalty 0)

ask questions.jsonl.zst "$name" "${as_the_report[@]}"
ask habits-questions.jsonl.zst "$name-habits" --temperature 1
[ -z "$more" ] || ask "$more" "$name-$(dirname "$more")" "${as_the_report[@]}"
[ -e "$name-parity.jsonl.zst" ] ||
    qvl parity "$model" --endpoint "$endpoint" --media-root . few.jsonl.zst -o "$name-parity.jsonl.zst"
