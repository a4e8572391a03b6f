#!/bin/bash
# Puts what a machine showed (target/vm/NAME, of smoke.sh) into the table of docs/kernels.md,
# in place of what it showed before. Rows stay in the order of tests/vm/kernels.toml.
#
#   scripts/vm/record.sh NAME
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh

doc=docs/kernels.md
begin='<!-- generated: machines -->'
end='<!-- end -->'
known "$1"
out=target/vm/$1
[ "$(sed -n 's/^code=//p' "$out/result")" = 0 ] || die "$1 has not passed"
release=$(sed -n 's/^release=//p' "$out/result")
page=$(($(sed -n 's/^page=//p' "$out/result") / 1024))

# sum SENSOR WHAT
sum() { awk -v sensor="$1" -v what="$2" '$1 == sensor && $2 == what { sum += $3 } END { print sum + 0 }' "$out/tally" 2>/dev/null || echo 0; }

rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
sed -n "/^$begin/,/^$end/p" "$doc" | { grep '^| [a-z0-9]' | grep -v '^| kernel' | grep -v "^| $1 |" || true; } >"$rows"
while IFS='|' read -r sensor tier hooks; do
  first=${hooks%%,*}
  more=$(tr -cd ',' <<<"$hooks" | wc -c)
  [ "$more" -eq 0 ] || first="$first and $more more"
  right="$(sum "$sensor" right) of $(sum "$sensor" wanted)"
  skipped=$(sum "$sensor" skipped)
  case $skipped in 0) ;; 1) right="$right, 1 run skipped" ;; *) right="$right, $skipped runs skipped" ;; esac
  echo "| $1 | $release | $(field "$1" arch) | $page KiB | $sensor | \`$tier\` | ${first:-none} | $right |"
done <"$out/sensors" >>"$rows"

table() {
  echo "$begin"
  echo '| kernel | release | architecture | page | sensor | tier | hooks | events right |'
  echo '|---|---|---|---|---|---|---|---|'
  for name in $(names); do grep "^| $name |" "$rows" || true; done
  echo "$end"
}
table >"$rows.table"
awk -v begin="$begin" -v end="$end" -v table="$rows.table" '
  index($0, begin) == 1 { while ((getline line < table) > 0) print line; skip = 1 }
  !skip { print }
  skip && index($0, end) == 1 { skip = 0 }' "$doc" >"$rows.doc"
cat "$rows.doc" >"$doc"
rm -f "$rows.table" "$rows.doc"
say "$doc has what $1 showed"
