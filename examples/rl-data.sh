#!/usr/bin/env bash
# Data for reinforcement learning, as in the Qwen3-VL report (arXiv 2511.21631), sections 4.4.1 and 4.4.2.
#
#     examples/rl-data.sh FOLDER RAW
#
# FOLDER receives every file, RAW is a stream of records with a task, an answer and a source. The
# results are rl.jsonl.zst for reasoning RL, and triggers.jsonl.zst to add to general RL. Finished stages
# are skipped, interrupted ones are resumed, and each stage keeps its rejects.
# The report's figures:
#   K=16                   responses per query, of either model
#   MAX_PASS_RATE=0.9      of the model to train: easier queries are dropped
# Our choice, as the report does not publish these:
#   QVL_ENDPOINT=URL       the model to train, required (`qvl serve` sets it)
#   STRONG=URL             the strong model that shows what can be solved; by default QVL_ENDPOINT
#   FORMAT_PROMPTS=DIR     your own format prompts; none: no prompts, as the twin has never seen one
#   LOG=FILE               log of a preliminary run, to measure the potential of sources; by default the samples
#   MIN_POTENTIAL=X        minimum potential; by default 0.02 of a log, 0.1 of samples
#   RATIO=TASK=N,...       ratio of tasks in each batch; by default tasks are only shuffled
#   BATCH_SIZE=256         queries per batch
#   SEED=0                 random seed of the order
#   MAX_TOKENS=32768       maximum number of tokens to generate
#   TRIGGERS=FILE          prompts that bring out bad behaviour; by default those of examples/data
#   MIN_RATE=0.125         also those of RAW where at least this share of responses shows some
#   JOBS=2                 cores for verifiers and rules
#   MEDIA=DIR              base folder of media paths; by default that of RAW
set -euo pipefail

[ $# -eq 2 ] || { printf 'usage: %s FOLDER RAW\n' "$0" >&2; exit 2; }
for file in "$2" ${TRIGGERS:+"$TRIGGERS"} ${LOG:+"$LOG"}; do
    [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
endpoint=${QVL_ENDPOINT:?set it to the URL of the model to be trained}
mkdir -p "$1"
triggers=$(realpath "${TRIGGERS:-$(dirname "$0")/data/triggers.jsonl}")
folder=$(realpath "$1") raw=$(realpath "$2")
media=$(realpath "${MEDIA:-$(dirname "$raw")}")
log=${LOG:+$(realpath "$LOG")}

case ${FORMAT_PROMPTS:-} in
    "") prompts=() ;;
    none) prompts=(--no-format-prompts) ;;
    *) prompts=(--format-prompts "$(realpath "$FORMAT_PROMPTS")") ;;
esac
cd "$folder"

say() { printf '\n== %s\n' "$1" >&2; }
sample() { # ENDPOINT IN OUT
    qvl generate -n "${K:-16}" --endpoint "$1" --max-tokens "${MAX_TOKENS:-32768}" \
        --media-root "$media" --resume "$2" -o "$3"
}
verify() { # IN OUT
    qvl verify --jobs "${JOBS:-2}" --resume "$1" -o "$2"
}

say "Queries: what a verifier can judge, each with the format prompt of its task"
[ -e queries.jsonl.zst ] ||
    qvl rl prepare "${prompts[@]}" "$raw" --rejects rejected-queries.jsonl.zst -o queries.jsonl.zst

say "The strong model: drop multimodal queries that it never gets right"
[ -e strong.jsonl.zst ] || sample "${STRONG:-$endpoint}" queries.jsonl.zst strong.jsonl.zst
[ -e strong-verified.jsonl.zst ] || verify strong.jsonl.zst strong-verified.jsonl.zst
[ -e pool.jsonl.zst ] ||
    qvl rl prepare "${prompts[@]}" strong-verified.jsonl.zst --rejects rejected-pool.jsonl.zst -o pool.jsonl.zst

# From here on the data is for one model; the pool serves all.
say "The model to train: its responses, and what each source can still teach it"
[ -e policy.jsonl.zst ] || sample "$endpoint" pool.jsonl.zst policy.jsonl.zst
[ -e policy-verified.jsonl.zst ] || verify policy.jsonl.zst policy-verified.jsonl.zst
if [ ! -e potential.jsonl.zst ]; then
    least=(${MIN_POTENTIAL:+--min "$MIN_POTENTIAL"})
    if [ -n "$log" ]; then
        qvl rl potential --log "$log" "${least[@]}" -o potential.jsonl.zst
    else
        qvl rl potential policy-verified.jsonl.zst "${least[@]}" -o potential.jsonl.zst
    fi
fi

say "Drop easy queries and sources with little to teach; shuffle and mix the rest"
choose=(qvl rl prepare "${prompts[@]}" pool.jsonl.zst --policy policy-verified.jsonl.zst
    --potential potential.jsonl.zst --max-pass-rate "${MAX_PASS_RATE:-0.9}" --rejects rejected-rl.jsonl.zst)
if [ ! -e rl.jsonl.zst ]; then
    if [ -n "${RATIO:-}" ]; then
        "${choose[@]}" --ratio "$RATIO" --batch-size "${BATCH_SIZE:-256}" --seed "${SEED:-0}" -o rl.jsonl.zst
    else
        say "RATIO is not set: the tasks have no fixed shares"
        "${choose[@]}" | qvl shuffle --seed "${SEED:-0}" -o rl.jsonl.zst
    fi
fi

say "Prompts that bring out bad behaviour, for general RL (4.4.2): those known, and those that it shows"
[ -e mined.jsonl.zst ] ||
    qvl rl triggers --min-rate "${MIN_RATE:-0.125}" --jobs "${JOBS:-2}" policy-verified.jsonl.zst -o mined.jsonl.zst
[ -e triggers.jsonl.zst ] ||
    qvl cat "$triggers" mined.jsonl.zst | qvl rl prepare --general "${prompts[@]}" -o triggers.jsonl.zst
