#!/bin/sh
# Runs in the virtual machine, as vm-test.service: waits for the end of the boot,
# runs /vm/test, writes what it said and how it ended to the second disk as a
# bare tar, and switches the machine off.
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
} | tee log >/dev/console
code=$(cat /vm/code)

journalctl --boot --no-pager >journal
dmesg >dmesg
# A kernel that complains is a failure, whatever the test thinks.
if grep -E 'BUG:|WARNING:|Oops|Call Trace|general protection|soft lockup|rcu: INFO' dmesg >kernel-complaints; then
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
