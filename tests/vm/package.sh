#!/bin/bash
# also: reboot
# The Debian package under a systemd of this machine's own: installed, enabled, upgraded, there again after a
# reboot, removed, purged. `make test-deb` brings it here; it is built from what is tested, and not from the tests' build.
cd /vm/project || exit 1
source /vm/guest.sh
package=$(echo /vm/package/*.deb)
# What is left on the root file system that find's TEST… holds of, but for what was brought for the test.
left() { find / -xdev \( -path /vm -o -path "$(realpath "$PWD")" \) -prune -o "$@" -print 2>/dev/null; }

fresh() {
  loaded >/var/tmp/loaded
  # The image has the user for other tests.
  userdel bee-trace
  export DEBIAN_FRONTEND=noninteractive

  dpkg -i "$package"
  check 'installation' $? 0
  check 'its user' "$(getent passwd bee-trace | cut -d: -f7)" /usr/sbin/nologin
  check 'state after it' "$(show ActiveState)" inactive
  check 'whether it starts at boot' "$(systemctl is-enabled bee-traced)" disabled
  bee-trace config check /etc/bee-traced/config.toml >/dev/null
  check 'the configuration that comes with it' $? 0
  # This machine's dpkg leaves manual pages out.
  for page in man8/bee-traced.8 man1/bee-trace.1 man5/bee-traced.toml.5; do
    check "manual page $page" "$(dpkg -c "$package" | grep -c "/usr/share/man/$page.gz")" 1
  done
  for program in bee-trace bee-traced; do
    bash -c ". /usr/share/bash-completion/completions/$program && complete -p $program" >/dev/null
    check "completion of $program" $? 0
  done
  systemd-analyze verify --man=no /usr/lib/systemd/system/bee-traced*.service
  check 'systemd-analyze verify' $? 0

  mkdir -p /etc/bee-traced/config.d /etc/systemd/system/bee-traced.service.d
  printf '[output]\njournal_fold_seconds = 0\n' >/etc/bee-traced/config.d/own.toml
  # Emulated: verifying takes its time.
  printf '[Service]\nTimeoutStartSec=6min\n' >/etc/systemd/system/bee-traced.service.d/vm.conf
  systemctl daemon-reload
  systemctl enable --now bee-traced
  check 'systemctl enable --now' $? 0
  check 'state' "$(show ActiveState)" active
  sees 'after the start'
  entry=$(journalctl -q -u bee-traced -o json BEE_FILE_PATH=/etc/shadow -n1 --no-pager)
  for field in MESSAGE MESSAGE_ID PRIORITY BEE_EVENT_ACTION BEE_PROCESS_PID BEE_PROCESS_EXECUTABLE BEE_PROCESS_ENTITY_ID; do
    check "field $field" "$(grep -c "\"$field\":" <<<"$entry")" 1
  done
  check 'the catalog speaks' \
    "$(journalctl -q -x -u bee-traced BEE_FILE_PATH=/etc/shadow -n1 --no-pager | grep -c '^-- Subject:\|^░░ Subject:')" 1

  pid=$(show MainPID)
  dpkg -i "$package"
  check 'upgrade' $? 0
  within 240 other_pid "$pid"
  check 'it runs again' $? 0
  check 'what was loaded went on' "$(number adopted)" true
  check 'own settings' "$(cat /etc/bee-traced/config.d/own.toml | wc -l)" 2
  sees 'after the upgrade'
}

rebooted || { fresh; reboot_here; }
check 'state after a reboot' "$(show ActiveState)" active
check 'whether it took something over' "$(number adopted)" false
sees 'after a reboot'

dpkg -r bee-traced
check 'removal' $? 0
within 30 is ActiveState inactive
check 'programs and maps left' "$(loaded)" "$(cat /var/tmp/loaded)"
check 'programs on disk' "$(ls /usr/bin/bee-trac* 2>/dev/null)" ''
check 'configuration' "$(ls /etc/bee-traced/config.toml)" /etc/bee-traced/config.toml

rm -r /etc/systemd/system/bee-traced.service.d
dpkg -P bee-traced
check 'purge' $? 0
check 'its user' "$(getent passwd bee-trace)" ''
check 'files left' "$(left -name '*bee-trac*')" ''
check 'files of nobody' "$(left -nouser)" ''
verdict
