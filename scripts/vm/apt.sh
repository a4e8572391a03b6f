# Sourced: apt of any suite and architecture of Debian, with lists and state of its
# own in the cache. apt checks each package against Debian's signed index.
# shellcheck shell=bash disable=SC2154 # $cache, $mirror: common.sh

deb_apt() { # SUITE ARCH PROGRAM ARGUMENTS...
  local dir=$cache/apt/$1-$2 arch=$2 program=$3
  shift 3
  "$program" -qq -o "Dir::Etc=$dir" -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" \
    -o "Dir::Cache=$dir/cache" -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" \
    -o APT::Sandbox::User="$(id -un)" "$@"
}

# Brings the lists of a suite up to date.
deb_update() { # SUITE ARCH
  local dir=$cache/apt/$1-$2 path=debian
  case $1 in *-security) path=debian-security ;; esac
  mkdir -p "$dir"/{apt.conf.d,preferences.d,sources.list.d,state/lists/partial,cache/archives/partial}
  : >"$dir/status"
  echo "deb [arch=$2 lang=none target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror/$path $1 main" >"$dir/sources.list"
  deb_apt "$1" "$2" apt-get update
}

# Downloads packages into a directory; NAME=VERSION takes that version.
deb_download() { # SUITE ARCH DIRECTORY PACKAGE...
  local suite=$1 arch=$2 dir=$3
  shift 3
  mkdir -p "$dir"
  (cd "$dir" && deb_apt "$suite" "$arch" apt-get download "$@" 2>/dev/null) ||
    die "cannot download $* ($arch) from $suite"
}
