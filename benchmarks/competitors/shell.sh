#!/usr/bin/env bash
# The jobs with mawk and GNU sort, the way of the shell:  shell.sh JOB SOURCE OUTPUT WORKERS
#
# `split -n l/K/N` gives the Kth of N parts of a file, cut at line ends, so that as many mawks work at a time as
# there are workers. mawk is the fastest of the awks for this; LC_ALL=C lets both work on bytes.
set -euo pipefail
export LC_ALL=C
job=$1 source=$2 output=$3 workers=$4
scratch=$(mktemp -d -p "$(dirname "$output")")
trap 'rm -rf "$scratch"' EXIT

# Runs a mawk program on each part, and writes what they give one after another.
each() {
    local number pids=()
    for number in $(seq "$workers"); do
        split -n "l/$number/$workers" "$source" | mawk -F'"' "$1" >"$scratch/$number" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    for number in $(seq "$workers"); do cat "$scratch/$number"; done
}

sorted() { sort --parallel="$workers" -S 50% -T "$scratch" "$@"; }

request='{ if (split($2, r, " ") < 2) next; path = r[2]; q = index(path, "?"); if (q) path = substr(path, 1, q - 1) }'
total='{ n[$1] += $2 } END { for (k in n) printf "{\"key\": \"%s\", \"value\": %d}\n", k, n[k] }'

case $job in
hits)
    each "$request"' { n[path]++ } END { for (k in n) print k "\t" n[k] }' | mawk -F'\t' "$total" >"$output"
    ;;
words)
    each '{ c = split($0, w, " "); for (i = 1; i <= c; i++) n[w[i]]++ } END { for (k in n) print k "\t" n[k] }' |
        mawk -F'\t' "$total" >"$output"
    ;;
status)
    each "$request"' { n[substr($1, length($1) - 15, 2) "\t" substr($3, 2, 3)]++ }
        END { for (k in n) print k "\t" n[k] }' |
        mawk -F'\t' '{ n[$1 "\t" $2] += $3 } END { for (k in n) { split(k, f, "\t")
            printf "{\"hour\": \"%s\", \"status\": \"%s\", \"value\": %d}\n", f[1], f[2], n[k] } }' >"$output"
    ;;
top)
    each "$request"' { n[substr($3, 2, 3) "\t" path]++ } END { for (k in n) print k "\t" n[k] }' |
        mawk -F'\t' '{ n[$1 "\t" $2] += $3 } END { for (k in n) print k "\t" n[k] }' |
        sorted -t $'\t' -k1,1 -k3,3nr -k2,2 |
        mawk -F'\t' 'function close_row() { if (seen) print row "]}" }
            $1 != last { close_row(); seen = 1; last = $1; row = "{\"status\": \"" $1 "\", \"pages\": ["; rank = 0 }
            ++rank <= 10 { row = row (rank > 1 ? ", " : "") "[\"" $2 "\", " $3 "]" }
            END { close_row() }' >"$output"
    ;;
sections)
    each "$request"' { split(path, s, "/"); split($1, a, " "); k = s[2] "\t" a[1]; if (!(k in seen)) { seen[k]; print k } }' |
        sorted -u |
        mawk -F'\t' '{ n[$1]++ } END { for (k in n) printf "{\"section\": \"%s\", \"addresses\": %d}\n", k, n[k] }' >"$output"
    ;;
sessions)
    # A log has few days, so a day is counted from its name once.
    each 'function day(text,   d) {
            if (!(text in days)) { split(text, d, "/")
                days[text] = mktime(d[3] " " (index("JanFebMarAprMayJunJulAugSepOctNovDec", d[2]) + 2) / 3 " " d[1] " 0 0 0") }
            return days[text] }
        { b = index($0, "["); e = index($0, "] "); if (!e) next
          t = substr($0, b + 1, 20); a = index($0, " ")
          print substr($0, 1, a - 1) "\t" day(substr(t, 1, 11)) + substr(t, 13, 2) * 3600 + substr(t, 16, 2) * 60 + substr(t, 19, 2) }' |
        sorted -t $'\t' -k1,1 -k2,2n |
        mawk -F'\t' 'function close_row() { if (hits) printf "{\"address\": \"%s\", \"sessions\": %d, \"hits\": %d}\n", last, sessions, hits }
            $1 != last { close_row(); last = $1; sessions = 0; hits = 0 }
            !hits || $2 - time > 1800 { sessions++ }
            { hits++; time = $2 }
            END { close_row() }' >"$output"
    ;;
index)
    each '{ c = split($0, w, /[ \t]/); for (i = 2; i <= c; i++) if (seen[w[i]] != w[1]) { seen[w[i]] = w[1]; print w[i] "\t" w[1] } }' |
        sorted -t $'\t' -k1,1 -k2,2n |
        mawk -F'\t' '$1 != last { if (NR > 1) print "]}"; last = $1; printf "{\"word\": \"%s\", \"documents\": [%d", $1, $2; next }
            { printf ", %d", $2 }
            END { if (NR) print "]}" }' >"$output"
    ;;
sort)
    sorted -o "$output" "$source"
    ;;
*)
    echo "no such job: $job" >&2
    exit 2
    ;;
esac
