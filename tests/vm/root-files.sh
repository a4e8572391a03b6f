#!/bin/bash
# What the root file system of the virtual machines has besides its packages.
set -euo pipefail
root=$1
echo vm >"$root/etc/hostname"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
echo '/dev/root / ext4 defaults 0 1' >"$root/etc/fstab"
chroot "$root" useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin bee-trace
chroot "$root" useradd --create-home --shell /bin/sh visitor
# Work that needs a network or takes seconds in emulation; and a /tmp that would hide what is laid over
# the root, for the programs under test lie where they were built, which may be below it.
for unit in tmp.mount systemd-networkd-wait-online.service systemd-pstore.service e2scrub_reap.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
ln -s /dev/null "$root/etc/tmpfiles.d/tmp.conf"
