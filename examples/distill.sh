#!/usr/bin/env bash
# Strong-to-weak distillation, as in the Qwen3-VL report (arXiv 2511.21631), section 4.3: off-policy, by
# fine-tuning on the teachers' responses, then on-policy, by the KL between student and teacher. Text only,
# into the language model: the vision tower and the merger are frozen.
#
#     examples/distill.sh FOLDER STUDENT QUERIES HELD_OUT REPLAY TEACHER[@RATIO]...
#
# FOLDER receives off-policy/ and on-policy/: the models with their logs. QUERIES are records with an answer
# that a verifier can check, and HELD_OUT others, which are never learned from. REPLAY is a part of the SFT
# data: without it the student loses its sight (docs/distillation.md). A TEACHER is a folder, which is
# served here, or the URL of an engine; RATIO is its share of the responses. Give a thinking and a
# non-thinking teacher, and their responses are combined. The first one teaches on-policy, a folder over
# the whole vocabulary, a URL over its top-k. A stage that is done is skipped, one that was stopped continues.
# Our choice, as the report does not publish these:
#   N=1 TEMPERATURE=0.7    responses per query and teacher, of which the first right one is learned
#   SHARD=                 such as 1/10: the part of QUERIES that teachers respond to; on-policy has all of them
#   OFF_STEPS= OFF_LR=1e-5 of fine-tuning; by default one epoch
#   CONTEXT=32k OFF_BATCH=32   tokens per pack, and packs per step
#   LOSS_WEIGHT=token      of qvl pack
#   REPLAY_SHARE=0.2       of the packs off-policy, of the sequences and of the loss on-policy
#   STEPS= LR=1e-6         on-policy; by default one pass over the queries
#   BATCH=256 SAMPLES=1    queries per step, and the student's responses to each
#   BETA=1                 1 is the reverse KL, 0 the forward KL
#   MAX_TOKENS=8192        of a response
#   STALENESS=1            1 samples and scores the next step while one is trained; 0 is exactly on-policy
#   EVAL_EVERY=10          steps between evaluations
#   SEED=0                 of sampling, and of the order of the data
# How the models are served and shared:
#   BACKEND=local          local, vllm or sglang; SERVE_ARGS are more words for qvl serve
#   NPROC=1 LAYOUT=        ranks of this machine, and how they share the student
#   MEDIA=DIR              base folder of media paths; by default that of REPLAY
#   ARGS SFT_ARGS PACK_ARGS   more words for qvl distill on-policy, qvl sft and qvl pack; REPLAY with thoughts
#                          that the student's template does not render needs --think-tags in ARGS and PACK_ARGS
set -euo pipefail

[ $# -ge 6 ] || {
    printf 'usage: %s FOLDER STUDENT QUERIES HELD_OUT REPLAY TEACHER[@RATIO]...\n' "$0" >&2
    exit 2
}
for file in "$2/config.json" "${@:3}"; do
    file=${file%@*}  # of a teacher with a ratio
    [[ $file = http* ]] || [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
mkdir -p "$1"
folder=$(realpath "$1") student=$(realpath "$2") queries=$(realpath "$3") held_out=$(realpath "$4")
replay=$(realpath "$5") media=$(realpath "${MEDIA:-$(dirname "$5")}")
seed=${SEED:-0}
shift 5
read -ra serve_args <<< "${SERVE_ARGS:-}"
read -ra args <<< "${ARGS:-}"
read -ra sft_args <<< "${SFT_ARGS:-}"
read -ra pack_args <<< "${PACK_ARGS:-}"

say() { printf '\n== %s\n' "$1" >&2; }
served() { # MODEL COMMAND...
    local model=$1
    shift
    qvl serve "$model" --backend "${BACKEND:-local}" --port 0 "${serve_args[@]}" -- "$@"
}

files=() ratios=()
for each in "$@"; do
    place=${each%@*} ratio=1
    [ "$place" = "$each" ] || ratio=${each##*@}
    case $place in http*) ;; *) place=$(realpath "$place") ;; esac
    number=$((${#files[@]} + 1))
    [ "$number" -gt 1 ] || teacher=$place
    say "Responses of teacher $number: $place"
    sampled=$folder/sampled-$number.jsonl.zst chosen=$folder/teacher-$number.jsonl.zst
    generate=(qvl generate -n "${N:-1}" --temperature "${TEMPERATURE:-0.7}" --max-tokens "${MAX_TOKENS:-8192}"
        --media-root "$media" --resume --seed "$seed" ${SHARD:+--shard "$SHARD"} "$queries" -o "$sampled")
    if [ ! -e "$sampled" ]; then
        case $place in
        http*) QVL_ENDPOINT=$place "${generate[@]}" ;;
        *) served "$place" "${generate[@]}" ;;
        esac
    fi
    [ -e "$chosen" ] ||
        qvl verify "$sampled" --rejects "$folder/rejected-verify-$number.jsonl.zst" |
        qvl choose --where 'reward == 1' --rejects "$folder/rejected-wrong-$number.jsonl.zst" |
        qvl filter-responses --rejects "$folder/rejected-responses-$number.jsonl.zst" -o "$chosen"
    files+=("$chosen") ratios+=("$ratio")
done

say "Combine the teachers"
[ -e "$folder/responses.jsonl.zst" ] ||
    if [ ${#files[@]} -gt 1 ]; then
        qvl mix "${files[@]}" --ratio "$(IFS=,; echo "${ratios[*]}")" \
            --rejects "$folder/rejected-mix.jsonl.zst" -o "$folder/responses.jsonl.zst"
    else
        qvl shuffle "${files[0]}" -o "$folder/responses.jsonl.zst"
    fi

say "Pack the responses, and the SFT data that is replayed"
pack() { # FILE OUT
    [ -e "$2" ] ||
        qvl pack --model "$student" --context "${CONTEXT:-32k}" --loss-weight "${LOSS_WEIGHT:-token}" "${pack_args[@]}" \
            --media-root "$media" "$1" --rejects "${2%.jsonl.zst}-rejected.jsonl.zst" -o "$2"
}
pack "$folder/responses.jsonl.zst" "$folder/packed.jsonl.zst"
pack "$replay" "$folder/packed-replay.jsonl.zst"

say "Off-policy: fine-tune the language model on them, with SFT data between"
[ -e "$folder/off-policy/config.json" ] ||
    qvl sft --model "$student" -o "$folder/off-policy" --resume --media-root "$media" \
        --freeze vision --freeze merger --batch "${OFF_BATCH:-32}" \
        --lr "${OFF_LR:-1e-5}" ${OFF_STEPS:+--steps "$OFF_STEPS"} --seed "$seed" \
        --interleave "$folder/packed-replay.jsonl.zst" --interleave-share "${REPLAY_SHARE:-0.2}" \
        --nproc "${NPROC:-1}" --layout "${LAYOUT:-}" "${sft_args[@]}" "$folder/packed.jsonl.zst"

say "On-policy: the student samples, the teacher scores, the student learns"
[ -e "$folder/on-policy/config.json" ] ||
    served "$folder/off-policy" qvl distill on-policy --model "$folder/off-policy" -o "$folder/on-policy" \
        --resume --teacher "$teacher" --media-root "$media" --replay "$replay" \
        --replay-share "${REPLAY_SHARE:-0.2}" --beta "${BETA:-1}" --lr "${LR:-1e-6}" \
        ${STEPS:+--steps "$STEPS"} --batch "${BATCH:-256}" -n "${SAMPLES:-1}" \
        --max-tokens "${MAX_TOKENS:-8192}" --max-staleness "${STALENESS:-1}" \
        --eval "$held_out" --eval-every "${EVAL_EVERY:-10}" --seed "$seed" \
        --nproc "${NPROC:-1}" --layout "${LAYOUT:-}" "${args[@]}" "$queries"
