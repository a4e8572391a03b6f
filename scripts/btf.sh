#!/bin/bash
# Compares the types made from kernel headers (`bee-trace btf build`) with those that
# the same kernels have built in, type by type:
#
#   scripts/btf.sh            every kernel of the table below
#   scripts/btf.sh --fetch    only downloads them
#   scripts/btf.sh --one      Debian 12's for this machine: the whole way to a file, nothing compared
#
# Packages are unpacked below .cache/btf (2 GB), the newest that matches, once: remove a folder
# there for a newer one. Nothing is installed but gcc, pahole, xz and lz4; the compiler for
# arm64 is unpacked as well, as its package does not live together with gcc-multilib.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
cache=$cache_root/btf

# Suite, architecture, kernel release. Every version we support, both architectures,
# and what changes layouts: pages of 16 KiB, real time, cloud.
kernels='
bullseye-security amd64 5\.10\.0-[0-9]+-amd64
bullseye          arm64 5\.10\.0-[0-9]+-arm64
bookworm-security amd64 6\.1\.0-[0-9]+-amd64
bookworm-security amd64 6\.1\.0-[0-9]+-cloud-amd64
bookworm-security arm64 6\.1\.0-[0-9]+-arm64
trixie            amd64 6\.12\.[0-9]+\+deb13-amd64
trixie            amd64 6\.12\.[0-9]+\+deb13-rt-amd64
trixie            arm64 6\.12\.[0-9]+\+deb13-arm64
trixie            arm64 6\.12\.[0-9]+\+deb13-arm64-16k
trixie-backports  amd64 [0-9.]+\+deb13-amd64
trixie-backports  arm64 [0-9.]+\+deb13-arm64
'

tools() {
  local missing=() tool
  for tool in gcc pahole xz lz4; do has "$tool" || missing+=("${tool/#xz/xz-utils}"); done
  [ "${#missing[@]}" -eq 0 ] || install "${missing[@]}"
}

# apt of another suite and architecture, with lists and state of its own: the system's
# are not touched. It checks each package against the signed index.
apt() { # SUITE ARCHITECTURE PROGRAM ARGUMENTS...
  local dir=$cache/apt/$1-$2 arch=$2 program=$3
  shift 3
  "$program" -qq -o "Dir::Etc=$dir" -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" \
    -o "Dir::Cache=$dir/cache" -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" \
    -o APT::Sandbox::User="$(id -un)" "$@"
}

apt_suite() { # SUITE ARCHITECTURE
  local dir=$cache/apt/$1-$2 path=debian
  case $1 in *-security) path=debian-security ;; esac
  mkdir -p "$dir"/{apt.conf.d,preferences.d,sources.list.d,state/lists/partial,cache/archives/partial}
  : >"$dir/status"
  echo "deb [arch=$2 lang=none target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror/$path $1 main" >"$dir/sources.list"
  apt "$1" "$2" apt-get update
}

# Downloads packages and unpacks them over each other.
unpack() { # SUITE ARCHITECTURE INTO PACKAGE...
  local suite=$1 arch=$2 into=$3 debs
  shift 3
  debs=$(mktemp -d -p "$cache")
  (cd "$debs" && apt "$suite" "$arch" apt-get download "$@" 2>/dev/null) || die "cannot download $* from $suite"
  mkdir -p "$into"
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$into"; done
  rm -r "$debs"
}

# Headers and image of the newest kernel that matches.
fetch() { # SUITE ARCHITECTURE RELEASE
  local suite=$1 arch=$2 wanted=$3 dir new release parts image
  dir=$cache/kernels/$(printf '%s-%s' "$suite" "$wanted" | tr -cd '[:alnum:].-')
  [ ! -e "$dir/release" ] || return 0
  apt_suite "$suite" "$arch"
  release=$(apt "$suite" "$arch" apt-cache pkgnames linux-headers- | sed 's/^linux-headers-//' | grep -Ex -- "$wanted" |
    sort -V | tail -n1) || die "$suite has no headers of $wanted"
  say "fetching $release ($arch) from $suite"
  new=$(mktemp -d -p "$cache")
  # Half of the headers are in a package that all flavours share.
  parts=$(apt "$suite" "$arch" apt-cache depends "linux-headers-$release" |
    sed -n 's/^ *Depends: \(linux-headers-.*\)$/\1/p')
  # Since 7.0 the image is in another package than its name says.
  image=linux-image-$release
  apt "$suite" "$arch" apt-cache show "linux-binary-$release" >/dev/null 2>&1 && image=linux-binary-$release
  # shellcheck disable=SC2086 # a list
  unpack "$suite" "$arch" "$new/all" "linux-headers-$release" $parts "$image"
  mkdir -p "$new/tree/usr" "$cache/kernels"
  mv "$new/all/usr/src" "$new/tree/usr/src"
  cp "$(find "$new/all" -name 'vmlinuz*' -type f | head -n1)" "$new/vmlinuz"
  rm -r "$new/all"
  echo "$release" >"$new/release"
  chmod 755 "$new"
  rm -rf "$dir"
  mv "$new" "$dir"
}

# A compiler for arm64 in the cache, and its name on PATH.
cross() {
  local tree=$cache/cross
  ! has aarch64-linux-gnu-gcc || return 0
  if [ ! -e "$tree/bin/aarch64-linux-gnu-gcc" ]; then
    say 'fetching a compiler for arm64'
    apt_suite bookworm amd64
    unpack bookworm amd64 "$tree" gcc-12-aarch64-linux-gnu cpp-12-aarch64-linux-gnu binutils-aarch64-linux-gnu \
      libgcc-12-dev-arm64-cross libmpc3 libmpfr6 libgmp10 libisl23 libzstd1 zlib1g
    mkdir -p "$tree/bin"
    cat >"$tree/bin/aarch64-linux-gnu-gcc" <<END
#!/bin/sh
LD_LIBRARY_PATH='$tree/usr/lib/x86_64-linux-gnu:$tree/lib/x86_64-linux-gnu' exec '$tree/usr/bin/aarch64-linux-gnu-gcc-12' "\$@"
END
    chmod +x "$tree/bin/aarch64-linux-gnu-gcc"
  fi
  PATH=$tree/bin:$PATH
}

filter=()
case ${1:-} in
  ''|--fetch) ;;
  --one)
    kernels=$(grep "^bookworm-security $(dpkg --print-architecture) " <<<"$kernels" | grep -v cloud)
    filter=(the_file_is_made)
    ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
tools
[ "$(uname -m)" = aarch64 ] || [ "${1:-}" = --one ] || cross
while read -r suite arch release; do
  [ -z "$suite" ] || fetch "$suite" "$arch" "$release" </dev/null
done <<<"$kernels"
[ "${1:-}" = --fetch ] && exit
export BEE_BTF_TREES=$cache/kernels
exec "${CARGO:-cargo}" test --locked --test btf_headers -- --nocapture --test-threads=1 "${filter[@]}"
