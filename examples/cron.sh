#!/usr/bin/env bash
# Nightly curation under cron: every new file of a folder, once.
#
#     examples/cron.sh IN OUT
#
# The crontab line, for 02:15 each night; cron mails what is printed, which is one line:
#
#     15 2 * * *  PATH=/opt/qvl/bin:/usr/bin:/bin  /opt/qvl/examples/cron.sh /data/raw /data/curated
#
# Every IN/*.jsonl.zst without a file of the same name in OUT is filtered, scored and sampled. It can be
# run again at any time: one run at a time, a file appears when it is whole, and one that was interrupted
# is resumed. OUT/log.txt has what the commands said, OUT/rejects what they dropped and why.
# The exit status is 0, or that of the first file that failed; the others are done all the same.
#   QVL_ENDPOINT=URL       also sample 4 responses to each record, and verify them (our choice)
set -uo pipefail

[ $# -eq 2 ] || { printf 'usage: %s IN OUT\n' "$0" >&2; exit 2; }
mkdir -p "$2/rejects" "$2/work"
in=$(realpath "$1") out=$(realpath "$2")
exec 9> "$out/lock"
flock -n 9 || { printf 'cron.sh: an earlier run still works on %s\n' "$out"; exit 0; }
exec 2>> "$out/log.txt"

curate() { # FILE NAME
    local work=$out/work/$2 rejects=$out/rejects/$2
    [ -e "$work.kept" ] ||
        qvl filter-queries "$1" --rejects "$rejects.queries" |
        qvl filter-responses --rejects "$rejects.responses" -o "$work.kept" || return
    if [ -n "${QVL_ENDPOINT:-}" ]; then
        [ -e "$work.sampled" ] ||
            qvl generate -n 4 --media-root "$in" --on-error reject --rejects "$rejects.generate" \
                --resume "$work.kept" -o "$work.sampled" || return
        qvl verify "$work.sampled" -o "$out/$2" || return
    else
        qvl cat "$work.kept" -o "$out/$2" || return
    fi
    rm -f "$work".*
}

status=0 done=0 failed=""
for file in "$in"/*.jsonl.zst; do
    name=$(basename "$file")
    if [ ! -e "$file" ] || [ -e "$out/$name" ]; then continue; fi
    printf '\n== %s %s\n' "$(date -u +%FT%TZ)" "$name" >&2
    if curate "$file" "$name"; then
        done=$((done + 1))
    else
        code=$?
        [ "$status" -ne 0 ] || status=$code
        failed="$failed $name (status $code)"
    fi
done
printf 'cron.sh: %d new files in %s%s\n' "$done" "$out" "${failed:+; failed:$failed; see $out/log.txt}"
exit "$status"
