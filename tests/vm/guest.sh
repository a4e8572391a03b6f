#!/bin/bash
# Runs in the virtual machine, as vm-test.service: waits for the end of the boot,
# runs /vm/test, writes what it said and how it ended to the second disk as a
# bare tar, and switches the machine off. Tests source it for what they share.

passed=0
failed=0
# check WHAT GOT WANTED
check() {
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
    echo "ok: $1: $2"
  else
    failed=$((failed + 1))
    echo "FAILED: $1: $2, expected $3"
  fi
}
# The line that adds up, and whether all is well: the last of a test.
verdict() {
  echo "sum: $passed passed; $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
# within SECONDS COMMAND…: whether it comes to be true
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 1
  done
}
# A test with the line "# also: reboot" may call this once: the machine boots again, and the test starts from its
# beginning, with the counts it had. `rebooted`: whether it is so.
reboot_here() {
  echo "passed=$passed failed=$failed" >/var/tmp/rebooted
  dmesg >/vm/out/dmesg-before
  sync
  systemctl reboot
  sleep infinity
}
rebooted() {
  [ -e /var/tmp/rebooted ] || return 1
  # shellcheck source=/dev/null
  . /var/tmp/rebooted
}
# Between these two the kernel may complain: a test has it do so.
complaints_wanted() { echo 'vm: complaints are wanted' >/dev/kmsg; }
complaints_unwanted() { echo 'vm: complaints are unwanted' >/dev/kmsg; }
# The service, under the machine's own systemd.
show() { systemctl show bee-traced --value -p "$1"; }
is() { [ "$(show "$1")" = "$2" ]; }
other_pid() {
  local now
  now=$(show MainPID) # first: between two questions it can end, and then there is none
  [ "$now" != 0 ] && [ "$now" != "$1" ] && is ActiveState active && is SubState running
}
# eBPF programs and maps by name, whoever holds them, but for systemd's own (sd_…; 4_UNIT and 6_UNIT hold
# IPAddressAllow= of a unit for as long as it is loaded). The kernel and systemd free what
# has no user left a little later, and a PROG_ARRAY that is opened meanwhile never: names wait until the
# numbers, for which nothing is opened, stay as they are.
loaded() {
  local now='' before=none
  for _ in {1..20}; do
    now=$(/vm/triggers/64/meddle numbers)
    [ "$now" != "$before" ] || break
    before=$now
    sleep 5
  done
  /vm/triggers/64/meddle list | grep -vE ' (sd_|[46]_)' | sort
}
# A number of the daemon's own status: KEY, the first that is there.
number() { bee-trace status --json | sed -n "s/^ *\"$1\": \([0-9a-z]*\),*$/\1/p" | head -n1; }
# Events of a file in the journal since the boot, and one more: sees WHEN.
events() { journalctl -q -u bee-traced -o json BEE_FILE_PATH=/etc/shadow --no-pager | grep -c '"BEE_EVENT_ACTION":"open"'; }
more_than() { [ "$(events)" -gt "$1" ]; }
sees() {
  local before
  before=$(events)
  head -c1 /etc/shadow >/dev/null
  within 60 more_than "$before"
  check "an event $1" $? 0
}
# install_service: programs, configuration and unit, with standard input as a drop-in of the configuration
# and SETTINGS… as one of the unit.
install_service() {
  cp /vm/bee-traced /vm/bee-trace /usr/bin/
  chown root:root /usr/bin/bee-traced /usr/bin/bee-trace
  chmod 755 /usr/bin/bee-traced /usr/bin/bee-trace
  mkdir -p /etc/bee-traced/config.d /etc/systemd/system/bee-traced.service.d
  cat >/etc/bee-traced/config.d/vm.toml
  cp config/bee-traced.toml /etc/bee-traced/config.toml
  cp packaging/systemd/*.service /etc/systemd/system/
  printf '%s\n' '[Service]' "$@" >/etc/systemd/system/bee-traced.service.d/vm.conf
  systemctl daemon-reload
}
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

mkdir -p /vm/out
cd /vm/out || exit 1
state=$(timeout 120 systemctl is-system-running --wait)
[ "$state" = running ] || systemctl --failed --no-legend --plain >failed-units
echo "vm: booted ($state), up $(cut -d' ' -f1 /proc/uptime) s" >/dev/console

# A kernel may give files the time they are unpacked at (INITRAMFS_PRESERVE_MTIME), in any
# order. Triggers older than their sources would be built anew, and there is no compiler here.
find /vm/triggers/ -type f -exec touch {} +

# shellcheck source=/dev/null # boot.sh writes it
. /vm/settings
# To the console as well: of a machine that hangs nothing else is left.
{
	/vm/test 2>&1
	echo $? >/vm/code
} | tee -a log >/dev/console
code=$(cat /vm/code)

journalctl --boot --no-pager >journal
dmesg >dmesg
# A kernel that complains is a failure, whatever the test thinks.
if cat dmesg-before dmesg 2>/dev/null | sed '/vm: complaints are wanted/,/vm: complaints are unwanted/d' | grep -E 'BUG:|WARNING:|Oops|Call Trace|general protection|soft lockup|rcu: INFO' >kernel-complaints; then
	[ "$code" -ne 0 ] || code=70
else
	rm kernel-complaints
fi
{
	echo "code=$code"
	echo "release=$(uname -r)"
	echo "page=$(getconf PAGESIZE)"
	echo "up=$(cut -d' ' -f1 /proc/uptime)"
} >result
tar -cf /dev/vdb .
echo "vm: ended with $code" >/dev/console
sync
systemctl poweroff -ff
