#!/bin/bash
# The service under a systemd of this machine's own: started, asked, reloaded, killed, frozen,
# given a wrong configuration, stopped. Everything is installed into this machine only.
cd /vm/project || exit 1
source /vm/guest.sh

before=$(loaded)
# Each open is to be an entry. Emulated: verifying takes minutes, and a frozen daemon must be noticed
# before we give up.
install_service WatchdogSec=40 TimeoutStartSec=6min <<'END'
[output]
journal_fold_seconds = 0
END
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
check 'programs and maps left' "$(loaded)" "$before"
check 'the control socket' "$(ls /run/bee-traced/control 2>/dev/null)" ''

echo 'nonsense = 1' >>/etc/bee-traced/config.toml
systemctl start bee-traced && check 'a start with a wrong configuration' done refused
sleep 5
check 'its exit status' "$(show ExecMainStatus)" 78
check 'its state' "$(show ActiveState)" failed
check 'restarts' "$(show NRestarts)" 0
verdict
