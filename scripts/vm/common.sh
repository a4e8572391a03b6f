# Sourced by the parts of the rig, which run in the toolbox: the table of kernels
# and where things are kept.
# shellcheck shell=bash disable=SC2034 # used by who sources this
source scripts/common.sh

table=tests/vm/kernels.toml
cache=$cache_root/vm

# Value of key $2 of kernel $1, without its quotes.
field() {
  awk -v kernel="[$1]" -v key="$2" '
    /^\[/ { here = $0 == kernel }
    here && $1 == key && $2 == "=" { sub(/^[^=]*= */, ""); gsub(/^"|"$/, ""); gsub(/\\\\/, "\\"); print; exit }' "$table"
}

names() { sed -n 's/^\[\(.*\)\]$/\1/p' "$table"; }

known() { [ -n "$(field "$1" arch)" ] || die "no kernel $1 in $table"; }

# Whose kernel a row boots: its own, or that of another row.
kernel_of() {
  local other
  other=$(field "$1" kernel)
  echo "${other:-$1}"
}

# Which root file system a test wants: its line "# root: tools"; nothing: the plain one.
root_set() { sed -n 's/^# root: //p' "tests/vm/$1"; }

# Where the root file system of a row's system and architecture is, with a set of programs or without.
root_of() { # SUITE ARCH [SET]
  echo "$cache/root/$1-$2${3:+-$3}"
}

# A directory on the cache's file system that goes when the script ends.
make_scratch() {
  mkdir -p "$cache"
  scratch=$(mktemp -d -p "$cache" scratch.XXXXXX)
  trap 'rm -rf "$scratch"' EXIT
}

# A cpio archive of a tree, as the kernel unpacks it.
pack() { (cd "$1" && find . -print0 | cpio --quiet -0 -o -H newc --owner 0:0 | zstd -q -3); }

# What SHA256SUMS of a directory says is what is there.
intact() { # DIRECTORY
  [ -e "$1/SHA256SUMS" ] || return 1
  (cd "$1" && sha256sum --quiet -c SHA256SUMS) || die "$1 has changed; remove it"
}
