#!/usr/bin/env bash
# Check the model of the protocol with spin, and let spin refute each wrong variant.
# Usage: check.sh FOLDER, for what is built. Prints a line each; fails if one is not as it must be.
set -euo pipefail
model=$(realpath "$(dirname "$0")/protocol.pml")
cd "$1"

# check NAME EXPECTED FLAGS...: EXPECTED is 0 errors, or 1 (or more).
check() {
    local name=$1 expected=$2 states errors
    shift 2
    spin -a "$@" "$model" >spin.txt
    gcc -O2 -DSAFETY -DNOCLAIM -DCOLLAPSE -DVECTORSZ=2048 -w -o pan pan.c
    ./pan -E -m2000000 >pan.txt 2>&1 || true
    errors=$(sed -n 's/.*errors: *\([0-9]*\).*/\1/p' pan.txt)
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.txt)
    echo "$name: ${errors:-no answer} errors, ${states:-?} states"
    if grep -q 'max search depth too small\|out of memory' pan.txt; then
        echo "  the search was not complete"
        return 1
    fi
    [ "$((${errors:-9} > 0))" = "$expected" ] && [ -n "$errors" ]
}

failed=0
check "the protocol" 0 -DNC=2 -DA=2 -DLOST=1 || failed=1
for wrong in OVERWRITE NO_READ_BACK ANY_INPUTS EARLY_PUBLISH EARLY_DELETE SAME_NAMES; do
    check "$wrong" 1 -DNC=2 -DA=2 -DLOST=1 "-D$wrong" || failed=1
done
exit $failed
