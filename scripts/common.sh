# Sourced by scripts that cross-build and boot virtual machines, with the project's
# top as working directory.
# shellcheck shell=bash disable=SC2034 # used by who sources this

# What is downloaded and made once. One place for several checkouts: BEE_CACHE.
cache_root=${BEE_CACHE:-$PWD/.cache}
mirror=${VM_MIRROR:-http://deb.debian.org}

# For mmdebstrap: nobody reads documentation there, and half of the files are.
without_docs=(
  --aptopt='Apt::Install-Recommends "false"'
  --dpkgopt='path-exclude=/usr/share/man/*'
  --dpkgopt='path-exclude=/usr/share/locale/*'
  --dpkgopt='path-exclude=/usr/share/doc/*'
)

# What a test in a machine may be told, by the environment: how long, how much, of what.
test_settings=(GATE_TIERS ORDINARY_SECS RESTART_OPENS)

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 69; }
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif has sudo; then sudo "$@"
  else die "this needs root, and there is no sudo. As root: $*"
  fi
}

# Debian packages of the machine itself; nothing is ever removed for them.
install() { # PACKAGE...
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends "$@")
  has apt-get || die "please install the equivalents of these Debian packages: $*"
  say "installing $*"
  as_root "${install[@]}" </dev/null >/dev/null 2>&1 && return
  as_root apt-get update -qq </dev/null || die 'apt-get update failed; is there a network?'
  as_root "${install[@]}" </dev/null >/dev/null || die "apt-get could not install: $*"
}
