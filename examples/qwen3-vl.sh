#!/usr/bin/env bash
# Qwen3-VL's post-training from raw data to the final model (arXiv 2511.21631, section 4), on the CPU twin.
#
#     [SEED=N] examples/qwen3-vl.sh [FOLDER]
#
# FOLDER (default: qwen3-vl) receives every file. It ends in a table, stage by task, and in one page,
# report.html. A stage that is done is skipped, one that was stopped continues, so each can be run by hand.
# Every stage is a command or a script of examples/, and they take a real model's paths as well: what is
# the twin's are the data of the first two sections, and the numbers, which are our choice.
set -euo pipefail

here=$(dirname "$(realpath "$0")") folder=${1:-qwen3-vl}
export SEED=${SEED:-0}
command -v qvl >/dev/null || {
    printf 'qvl is not on the PATH: run make setup, then PATH="$PWD/.venv/bin:$PATH" %s\n' "$0" >&2
    exit 2
}
mkdir -p "$folder"
cd "$folder"
[ -e seed ] || echo "$SEED" >seed
[ "$(cat seed)" = "$SEED" ] || { echo "$folder has files of SEED=$(cat seed): give another FOLDER" >&2; exit 2; }
export OMP_NUM_THREADS=1  # operations of so small a model are faster in one thread; two ranks have a core each
export MEDIA=$PWD  # the base folder of all media paths

say() { printf '\n== %s (%d min)\n' "$1" $((SECONDS / 60)) >&2; }
pack() { # CONTEXT FILE OUT
    [ -e "$3" ] || qvl pack --model sft/trained --context "$1" --loss-weight sqrt --think-tags --media-root . "$2" -o "$3"
}
sft() { # MODEL OUT LR WORD...
    local from=$1 out=$2 lr=$3
    shift 3
    [ -e "$out/config.json" ] ||
        qvl sft --model "$from" -o "$out" --nproc 2 --media-root . --resume --batch 2 --lr "$lr" --schedule wsd \
            --decay-share 0.5 --min-lr-ratio 0.05 --warmup-steps 20 --weight-decay 0.05 --beta2 0.98 \
            --log-every 100 --seed "$SEED" "$@"
}
served() { # MODEL COMMAND..., with an engine on each core
    local model=$1
    shift
    qvl serve "$model" --port 0 --max-batch 256 --replicas 2 -- "$@"
}
evaluate() { # NAME MODEL [FILE], and parity of the engine that answers
    columns+=("$1=scores/$1.json" "$1=scores/$1-habits.json")
    [ $# -lt 3 ] || columns+=("$1=scores/$1-$(dirname "$3").json")
    [ -e "scores/$1-parity.jsonl.zst" ] || served "$2" "$here/evaluate.sh" "$@"
}
helps() { # BEFORE AFTER GROUP WORD...: ends the script unless a stage was better at what it is for
    local before=$1 after=$2 group=$3
    shift 3
    qvl eval compare "scores/$before.jsonl.zst" "scores/$after.jsonl.zst" --better "$group" "$@" \
        -o "scores/$before-$after.jsonl.zst"
}
columns=() # of the table: NAME=REPORT

say "4.1, 4.2.1: filter queries and responses, then SFT at 1K, which is the report's 32K"
[ -e sft/after.json ] || "$here/recipe.sh" sft

say "The twin's data for the other stages, and the questions that none of them trains on"
[ -d more ] || qvl tiny data more --train 16000 --test 750 --defect-share 0 --seed "$SEED" \
    --tasks long-sum=4,card-sum=4,habits=3,mixed=8,odd-count=1
[ -d chains ] || qvl tiny data chains --tasks longer-sum --train 2000 --test 200 --defect-share 0 --seed "$SEED"
[ -d album ] || qvl tiny data album --tasks card-album --train 100 --test 32 --defect-share 0 --seed "$SEED"
[ -d zoom ] || qvl tiny data zoom --tasks zoom-direct --train 1 --test 100 --defect-share 0 --seed "$SEED"
[ -d thoughts ] || qvl tiny data thoughts --tasks card-think --thinking --train 1200 --test 1 --defect-share 0 --seed "$SEED"
[ -d images ] || { mkdir images.new && cp -al {sft/data,more,album,zoom,thoughts}/images/. images.new && mv images.new images; }
[ -e rl.jsonl.zst ] || qvl split --ratio cold=1,rl=1 more/raw.jsonl.zst -o '{}.jsonl.zst'
[ -e sft-questions.jsonl.zst ] || qvl mix --by source sft/data/test.jsonl.zst \
    --ratio tiny/digit=1,tiny/add=1,tiny/sum=1,tiny/count=1,tiny/card-find=1,tiny/card-where=1,tiny/card-ground=1 |
    qvl cat --shard 1/2 -o sft-questions.jsonl.zst
[ -e questions.jsonl.zst ] ||
    qvl cat sft-questions.jsonl.zst {more,chains,zoom}/test.jsonl.zst |
    qvl select 'source != "tiny/habits"' |
    qvl set 'id = source + "/" + id' -o questions.jsonl.zst  # each set numbers its own
[ -e habits-questions.jsonl.zst ] || qvl select 'source == "tiny/habits"' more/test.jsonl.zst -o habits-questions.jsonl.zst
[ -e few.jsonl.zst ] || qvl mix --by source sft-questions.jsonl.zst more/test.jsonl.zst \
    --ratio tiny/digit=1,tiny/card-ground=1,tiny/long-sum=1,tiny/card-sum=1 | qvl cat --shard 1/50 -o few.jsonl.zst
# SFT has both formats: "Where is the red card?" is answered at once in some records, and in others after a thought.
[ -e both.jsonl.zst ] ||
    qvl set 'source = "thought"' thoughts/raw.jsonl.zst | qvl cat sft/curated.jsonl.zst - -o both.jsonl.zst
learned=tiny/digit=3,tiny/add=3,tiny/sum=3.5,thought=1,tiny/count=0.3,tiny/card-find=1,tiny/card-where=1,tiny/card-ground=2
[ -e learned.jsonl.zst ] ||
    qvl mix --by source --ratio "$learned" both.jsonl.zst | qvl shuffle --seed "$SEED" -o learned.jsonl.zst
MAX_TOKENS=16 evaluate base sft/base  # it does not stop by itself
evaluate sft-1k sft/trained album/test.jsonl.zst

say "4.2.1: SFT at 8K, with 1K between (256K and 32K), in both formats"
pack 1k learned.jsonl.zst packed-learned.jsonl.zst
pack 8k album/raw.jsonl.zst packed-album.jsonl.zst
# The ranks share each pack: with a pack each, one would wait for the other, whose pack is long.
sft sft/trained long 1e-3 --layout cp=2 packed-album.jsonl.zst --interleave packed-learned.jsonl.zst --interleave-share 0.75
evaluate sft-8k long album/test.jsonl.zst

say "4.2.2: the cold start's data, hard for that model, in need of the image, with answers that hold"
# Easy questions are among them, which the filter of difficulty is to drop.
[ -e cold-raw.jsonl.zst ] ||
    qvl mix --by source cold.jsonl.zst sft/curated.jsonl.zst --ratio tiny/long-sum=4,tiny/card-sum=4,tiny/sum=1,tiny/card-where=1 |
    qvl shuffle --seed "$SEED" -o cold-raw.jsonl.zst
[ -e cold/thinking.jsonl.zst ] || K=2 MAX_TOKENS=96 BLIND_SAMPLES=2 served long "$here/cold-start.sh" cold cold-raw.jsonl.zst
# Beside them are answers whose style nobody filtered, as real data have them: sums that most annotators
# answer at once, mostly wrong, which reasoning RL is to mend, and bad habits, which general RL is to remove.
# What was learned is replayed. After one pass the model may lose its way in the steps.
[ -e unfiltered.jsonl.zst ] ||
    qvl select 'source == "tiny/mixed" or source == "tiny/habits"' cold.jsonl.zst -o unfiltered.jsonl.zst
[ -e thinking.jsonl.zst ] || qvl cat cold/thinking.jsonl.zst unfiltered.jsonl.zst | qvl shuffle --seed "$SEED" -o thinking.jsonl.zst
pack 1k thinking.jsonl.zst packed-thinking.jsonl.zst
sft long thinker 1e-3 --epochs 2 packed-thinking.jsonl.zst --interleave packed-learned.jsonl.zst --interleave-share 0.4
evaluate cold-start thinker

say "4.3: strong-to-weak distillation, text alone; off-policy, then on-policy"
# From here on the replay is also of the cold start.
[ -e kept.jsonl.zst ] || qvl mix --by source --ratio "$learned,tiny/mixed=2,tiny/habits=0.8,tiny/long-sum=1,tiny/card-sum=1.5" both.jsonl.zst cold.jsonl.zst |
    qvl shuffle --seed "$SEED" -o kept.jsonl.zst
[ -d big ] || qvl tiny model big --size s --seed "$SEED"
[ -d lessons ] || qvl tiny data lessons --tasks longer-sum=3,sum=1 --train 7000 --test 2 --defect-share 0 --seed $((SEED + 1))
pack 1k lessons/raw.jsonl.zst packed-lessons.jsonl.zst
sft big teacher 2e-3 packed-lessons.jsonl.zst
CONTEXT=1k LOSS_WEIGHT=sqrt PACK_ARGS=--think-tags OFF_BATCH=2 OFF_LR=1e-3 MAX_TOKENS=144 BATCH=64 STEPS=40 LR=2e-4 BETA=1 NPROC=2 \
    STALENESS=0 EVAL_EVERY=20 REPLAY_SHARE=0.3 SERVE_ARGS='--max-batch 256' SFT_ARGS='--log-every 50' \
    ARGS='--minibatches 2 --warmup-steps 10 --think-tags' \
    "$here/distill.sh" distill thinker chains/raw.jsonl.zst chains/test.jsonl.zst kept.jsonl.zst teacher
evaluate off-policy distill/off-policy
evaluate on-policy distill/on-policy

say "4.4.1: reasoning RL with SAPO, on text and images"
queries() { # RATIO OUT FILE...
    [ -e "$2" ] || qvl mix --by source --batch-size 32 --ratio "$1" "${@:3}" -o "$2"
}
rl() { # QUERIES...
    N=8 BATCH=32 STEPS=60 GENERAL_STEPS=40 MAX_TOKENS=144 LR=1e-4 STALENESS=1 EVAL_EVERY=20 SERVE_ARGS='--max-batch 256' \
        "$here/rl.sh" rl distill/on-policy rl-queries.jsonl.zst more/test.jsonl.zst "$@"
}
pool=(rl.jsonl.zst chains/raw.jsonl.zst sft/curated.jsonl.zst)
queries tiny/mixed=11,tiny/long-sum=3,tiny/longer-sum=8,tiny/card-sum=4,tiny/sum=1,tiny/count=1,tiny/card-ground=2,tiny/digit=2 \
    rl-queries.jsonl.zst "${pool[@]}"
rl
evaluate reasoning-rl rl/reasoning

say "4.4.2: general RL, with corrective tasks, and prompts that bring out bad habits"
[ -e triggers.jsonl.zst ] ||
    qvl select 'source == "tiny/habits"' rl.jsonl.zst |
    served rl/reasoning qvl generate -n 8 --temperature 1 --max-tokens 144 --media-root . |
    qvl rl triggers --rejects quiet.jsonl.zst |
    qvl set 'source = "trigger"' -o triggers.jsonl.zst
queries trigger=12,tiny/odd-count=3,tiny/mixed=3,tiny/long-sum=2,tiny/longer-sum=6,tiny/card-sum=3,tiny/count=1,tiny/card-ground=1,tiny/digit=1 \
    general-queries.jsonl.zst triggers.jsonl.zst "${pool[@]}"
rl general-queries.jsonl.zst
evaluate general-rl rl/general

say "4.5: thinking with images, in two stages: the agent, then the final model with what the agent did"
# Its replay is what the model answers by itself, as the cold start's data would bring back their bad habits,
# and what SFT taught, of which it has forgotten some.
[ -e own.jsonl.zst ] || qvl cat kept.jsonl.zst general-queries.jsonl.zst chains/raw.jsonl.zst | qvl cat --shard 1/2 |
    served rl/general qvl generate --temperature 0.7 --max-tokens 144 --media-root . |
    qvl verify | qvl choose --where 'reward == 1' -o own.jsonl.zst
[ -e replay.jsonl.zst ] || qvl cat --shard 1/2 learned.jsonl.zst | qvl cat own.jsonl.zst - |
    qvl shuffle --seed "$SEED" -o replay.jsonl.zst
[ -e agent/final.json ] ||
    FINAL=1 NPROC=2 REPLAY=replay.jsonl.zst REPLAY_SHARE=0.4 "$here/agent.sh" rl/general agent
evaluate agent agent/agent
evaluate final agent/final album/test.jsonl.zst
# The questions that were asked without the tool, now with it.
[ -e scores/with-tool.jsonl.zst ] ||
    qvl select 'source == "tiny/zoom-direct"' questions.jsonl.zst |
    qvl set 'messages[0].content[1].text = "Zoom in when needed. " + messages[0].content[1].text' |
    served agent/final qvl agent-rollout --model agent/final --tools image_zoom_in_tool --zoom-min-tokens 8 --no-tool-schemas \
        --temperature 0 --max-tokens 300 --media-root . |
    qvl eval score -o scores/with-tool.jsonl.zst

say "4.6: the final model on each engine that is installed, greedy"
engines=()
for backend in local vllm sglang; do
    if [ "$backend" != local ] && ! qvl doctor --need "$backend" >doctor.txt 2>&1; then
        printf '%s is not installed: qvl doctor --install %s\n' "$backend" "$backend" >&2
        continue
    fi
    engines+=("$backend=scores/on-$backend.json")
    [ -e "scores/on-$backend.json" ] ||
        qvl serve agent/final --backend "$backend" --port 0 -- qvl eval sft-questions.jsonl.zst --media-root . \
            --max-tokens 144 --resume -o "scores/on-$backend.jsonl.zst" --report "scores/on-$backend.json"
done
qvl eval summary "${engines[@]}" | tee engines.txt

say "The table: stage by task"
columns+=("agent=agent/after-rl.json" "final=agent/final.json")  # questions that need a zoom, with the tool
qvl eval summary "${columns[@]}" | tee table.txt

say "The page"
qvl plot --metric loss sft/trained long thinker distill/off-policy agent/learner -o sft.svg
qvl plot --metric reward --metric 'rate/*' rl/reasoning rl/general agent/agent agent/final -o rl.svg
qvl tiny sheet scores/final.jsonl.zst --media-root . -o sheet.png
qvl view --export report.html --about table.txt --about engines.txt --about sft.svg --about rl.svg --about sheet.png \
    --num-records 40 --media-root . scores/final.jsonl.zst questions.jsonl.zst own.jsonl.zst cold/thinking.jsonl.zst

say "What each stage is for, tested by pairs: status 3 if one did not help"
helps base sft-1k tiny/sum
helps sft-1k-album sft-8k-album tiny/card-album
helps sft-8k cold-start tiny/long-sum
helps sft-8k off-policy tiny/longer-sum
helps off-policy on-policy tiny/longer-sum
helps on-policy reasoning-rl tiny/mixed
helps reasoning-rl-habits general-rl-habits tiny/habits --free-of language --free-of repetition --free-of format
helps final with-tool tiny/zoom-direct

say "The way of the last model's data"
qvl lineage agent/final.jsonl.zst >&2
printf '\n%s/report.html and table.txt hold what came of it; %d minutes.\n' "$PWD" $((SECONDS / 60)) >&2
