#!/bin/bash
# The service under a systemd of this machine's own: started, asked, reloaded, killed, frozen,
# given a wrong configuration, stopped. Everything is installed into this machine only.
cd /vm/project || exit 1
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
# within SECONDS COMMAND…: whether it comes to be true
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 1
  done
}
show() { systemctl show bee-traced --value -p "$1"; }
is() { [ "$(show "$1")" = "$2" ]; }
other_pid() { is SubState running && [ "$(show MainPID)" != "$1" ]; }
# Links of eBPF programs, and programs, that any process holds.
held() { cat /proc/[0-9]*/fdinfo/* 2>/dev/null | grep -cE '^(link_id|prog_id):'; }
# Events of this file in the journal since the boot.
events() { journalctl -q -u bee-traced -o json BEE_FILE_PATH=/etc/shadow --no-pager | grep -c '"BEE_EVENT_ACTION":"open"'; }
more_than() { [ "$(events)" -gt "$1" ]; }
sees() { # WHAT
  local before
  before=$(events)
  head -c1 /etc/shadow >/dev/null
  within 30 more_than "$before"
  check "an event $1" $? 0
}

before=$(held)
cp /vm/bee-traced /vm/bee-trace /usr/bin/
chown root:root /usr/bin/bee-traced /usr/bin/bee-trace
chmod 755 /usr/bin/bee-traced /usr/bin/bee-trace
mkdir -p /etc/bee-traced/config.d
# Each open is to be an entry.
printf '[output]\njournal_fold_seconds = 0\n' >/etc/bee-traced/config.d/vm.toml
cp config/bee-traced.toml /etc/bee-traced/config.toml
cp packaging/systemd/*.service /etc/systemd/system/
# Emulated: verifying takes minutes, and a frozen daemon must be noticed before we give up.
mkdir -p /etc/systemd/system/bee-traced.service.d
printf '[Service]\nWatchdogSec=40\nTimeoutStartSec=6min\n' >/etc/systemd/system/bee-traced.service.d/vm.conf
systemctl daemon-reload

systemctl start bee-traced
check 'status of systemctl start' $? 0
check 'state' "$(show ActiveState)" active
show StatusText
check 'status text' "$(show StatusText | grep -c '^watches: process (.*file (')" 1
pid=$(show MainPID)
check 'capabilities' "$(sed -n 's/^Cap\(Prm\|Eff\|Amb\|Bnd\):\t//p' "/proc/$pid/status" | sort -u)" 0000000000000000
check 'user of the process' "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$pid/status")" "$(id -u bee-trace)"
sees 'of the first daemon'

systemctl reload bee-traced
check 'status of a reload' $? 0
cp /etc/bee-traced/config.toml /root/good.toml
echo 'nonsense = 1' >>/etc/bee-traced/config.toml
systemctl reload bee-traced && check 'a reload of a wrong configuration' done refused
check 'the same daemon' "$(show MainPID)" "$pid"
within 20 sh -c 'systemctl show bee-traced --value -p StatusText | grep -q refused'
check 'the refusal in the status text' $? 0
cp /root/good.toml /etc/bee-traced/config.toml
sees 'after a refused reload'

kill -9 "$pid"
within 240 other_pid "$pid"
check 'a new daemon after kill -9' $? 0
pid=$(show MainPID)
sees 'after kill -9'

sleep 45 # more than the watchdog's time: it is fed
check 'the same daemon after a watchdog span' "$(show MainPID)" "$pid"
kill -STOP "$pid"
within 300 other_pid "$pid"
check 'a new daemon after SIGSTOP' $? 0
# systemd's own lines: the daemon's tell of this grep, with its arguments.
check 'why' "$(journalctl -q -u bee-traced _PID=1 --no-pager | grep -c 'Watchdog timeout')" 1
sees 'after the watchdog'

systemctl stop bee-traced
check 'status of systemctl stop' $? 0
check 'result' "$(show Result)" success
sleep 2
check 'programs and links left' "$(held)" "$before"
check 'the control socket' "$(ls /run/bee-traced/control 2>/dev/null)" ''

echo 'nonsense = 1' >>/etc/bee-traced/config.toml
systemctl start bee-traced && check 'a start with a wrong configuration' done refused
sleep 5
check 'its exit status' "$(show ExecMainStatus)" 78
check 'its state' "$(show ActiveState)" failed
check 'restarts' "$(show NRestarts)" 0
echo "sum: $passed passed; $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
