#!/bin/bash
# root: tools
# What people and services do all day on a desktop and a server, under the shipped configuration, for
# ORDINARY_SECS (300; 3600 for the long form): none of it may be told as reaching for another process.
# What else fired, by kind, severity and program, is in ordinary.md of what is left behind.
#
# The daemon itself must stay as small as it was after the first round: memory, descriptors.
#
# lsof, fuser and pmap are run too: they open address maps, which is what they are for, and must be told
# for that and nothing else.
cd /vm/project || exit 1
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PAGER=cat SYSTEMD_PAGER='' TERM=dumb
duration=${ORDINARY_SECS:-300}
source /vm/guest.sh

# run COMMAND: one of a round, as root; how many failed in this round is told, by name.
run() {
  local status
  commands=$((commands + 1))
  timeout 300 bash -c "$1" </dev/null >/var/tmp/said 2>&1
  status=$?
  [ "$status" -eq 0 ] && return
  broken=$((broken + 1))
  echo "round $round: failed ($status): $1: $(tail -n1 /var/tmp/said)"
}

# as_visitor COMMAND: the same, in a login of a person.
as_visitor() { run "su - visitor -c '$1'"; }

desktop() {
  as_visitor 'id; groups; whoami; tty || true; date; cal 2>/dev/null || true; uptime; w; who; last -n 3 || true'
  as_visitor 'ls -la; ls -l /etc /tmp /var/log >/dev/null; du -sh . ; df -h; free; file .profile; stat .bashrc'
  as_visitor 'ps; ps aux; ps -ef --forest; top -b -n1; pgrep -u visitor -l sh; pstree -p; uptime'
  as_visitor 'rm -rf work; git init -q work; cd work; git config user.email a@b; git config user.name v; echo hello >f; git add f; git commit -qm one; git log --stat; git diff HEAD; git status; git branch two; git checkout -q two; git gc -q'
  as_visitor 'git clone -q work copy; diff -r work/f copy/f; rm -rf copy'
  as_visitor 'ls .ssh/id_ed25519 2>/dev/null || ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519; ssh-keygen -l -f .ssh/id_ed25519.pub'
  as_visitor 'cat .ssh/id_ed25519.pub >.ssh/authorized_keys; ssh -o StrictHostKeyChecking=no -o BatchMode=yes localhost uptime'
  as_visitor 'scp -q -o BatchMode=yes work/f localhost:copied; rsync -a -e "ssh -o BatchMode=yes" work/ localhost:mirror/; rsync -a --delete work/ other/'
  as_visitor 'tar -czf work.tar.gz work; tar -tzf work.tar.gz >/dev/null; xz -kf work.tar.gz; bzip2 -kf work.tar.gz; rm work.tar.gz*'
  as_visitor 'python3 -c "import json, subprocess, os, sys; print(json.dumps(dict(os.environ))); subprocess.run([\"true\"])"'
  as_visitor 'vim.tiny -u NONE -es -c "normal ihello" -c wq note.txt; less note.txt; sort note.txt; grep -r hello . ; find . -name "*.txt"; sed s/a/b/ note.txt; awk 1 note.txt'
  as_visitor 'sudo -n true; sudo -n -l; sudo -n ls /root; sudo -n systemctl status cron --no-pager; sudo -n journalctl -n 5 --no-pager'
  as_visitor 'loginctl; loginctl show-user visitor; systemctl --user status --no-pager || true; systemctl list-units --no-pager; systemd-analyze time || true; hostnamectl; timedatectl'
  as_visitor 'crontab -l 2>/dev/null; echo "* * * * * true" | crontab -; crontab -l; bash -lc "compgen -c | head"; env; printenv PATH; ulimit -a; bash -ic exit'
}

server() {
  run 'systemctl status --no-pager; systemctl --failed --no-pager; systemctl list-timers --no-pager; systemctl show cron'
  run 'systemctl restart cron; systemctl reload ssh; systemctl daemon-reload; systemctl is-system-running; systemd-cgls --no-pager'
  run 'systemd-run --wait -q true; systemd-run --scope -q true; systemctl cat cron; systemd-cgtop -b -n 1'
  run 'journalctl -n 20; journalctl -b -p warning -n 5; journalctl -u ssh -n 5 -o json; journalctl --disk-usage; logger hello; dmesg'
  run 'loginctl list-sessions; loginctl list-users; loginctl seat-status || true; hostnamectl; timedatectl; localectl || true'
  run 'apt list --installed; apt-cache policy bash; dpkg -l; dpkg -S /bin/ls; dpkg --verify bash; apt-get check; apt-mark showmanual'
  run 'ps aux; ps -eLf; ps -eo pid,ppid,user,args; top -b -n1; pgrep -a sshd; pidof systemd; kill -0 1; killall -0 sshd; pkill -0 cron'
  run 'ls -l /proc/*/exe /proc/*/cwd; cat /proc/[0-9]*/stat /proc/[0-9]*/status /proc/[0-9]*/cmdline | wc -c; true'
  run 'ip addr; ip route; ss -tulpn; ss -s; ip link; cat /etc/resolv.conf || true; getent hosts localhost; hostname'
  run 'vmstat 1 2; iostat; mpstat; sar -A 1 1; free -m; df -h; mount; findmnt; lsblk; swapon --show; uptime; nproc; lscpu'
  run 'logrotate -f /etc/logrotate.conf; run-parts --report /etc/cron.daily; run-parts /etc/cron.hourly'
  run 'useradd -m guest1; echo guest1:$RANDOM$RANDOM | chpasswd; passwd -S guest1; chage -l guest1; usermod -aG users guest1; userdel -r guest1'
  run 'getent passwd; getent shadow root; id visitor; groups visitor; sudo -u visitor id; su visitor -c id; runuser -u visitor id; visudo -c'
  run 'tar -cf /var/tmp/etc.tar /etc; rsync -a /etc/ /var/tmp/etc/; gzip -f /var/tmp/etc.tar; cp -a /etc/ssh /var/tmp/ssh; rm -rf /var/tmp/etc /var/tmp/ssh /var/tmp/etc.tar.gz'
  run 'udevadm info /dev/vda; udevadm settle; udevadm trigger --dry-run; lsmod; modinfo loop; sysctl -a'
  run 'python3 -m http.server -b 127.0.0.1 8000 -d /usr/share/common-licenses & curl -s --retry 30 --retry-delay 1 --retry-connrefused http://127.0.0.1:8000/GPL-2 >/dev/null; kill $!'
  run 'ssh-keygen -A; ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub; sshd -t; ssh-keyscan localhost'
  run 'find / -xdev -name "*.conf" -newer /etc/passwd; find /etc -type f -exec md5sum {} + ; updatedb 2>/dev/null; ldconfig; man -w ls || true'
  run 'dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames; busctl list --no-pager; pkaction; systemd-detect-virt; systemd-resolve --version || true'
  run 'mkdir -p /mnt/t; mount -t tmpfs none /mnt/t; umount /mnt/t; fallocate -l 1M /var/tmp/b; sync; truncate -s 0 /var/tmp/b; rm /var/tmp/b'
}

measures() {
  run 'lsof -p 1; lsof -i; fuser -v /; fuser -v /var/log || true; pmap 1; pmap -x 1'
}

# What the daemon holds: KiB of memory of its own, and descriptors. These first: who asks is one more.
holds() {
  local descriptors
  descriptors=$(find /proc/$daemon/fd -type l | wc -l)
  echo "$(/vm/bee-trace status --json | sed -n 's/^ *"pss_kib": \([0-9]*\),*$/\1/p') $descriptors"
}

echo 'visitor ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/visitor
chmod 440 /etc/sudoers.d/visitor
echo '127.0.0.1 localhost' >/etc/hosts
install -d -m 700 -o visitor -g visitor /home/visitor/.ssh
usermod -aG systemd-journal visitor
systemctl start ssh cron 2>/dev/null
events=/var/tmp/events.json
/vm/bee-traced --config config/bee-traced.toml --output json >$events 2>/vm/out/daemon.log &
daemon=$!
until grep -q '"action":"start"' $events; do
  kill -0 $daemon || { cat /vm/out/daemon.log; exit 1; }
  sleep 1
done
begin=$SECONDS round=0 commands=0 broken=0
while [ $((SECONDS - begin)) -lt "$duration" ] || [ "$round" -eq 0 ]; do
  round=$((round + 1))
  desktop
  server
  measures
  holds >>/vm/out/holds
done
took=$((SECONDS - begin))
echo "$round rounds, $commands lines of commands, $broken of them failed, $took s"
kill -TERM $daemon
wait $daemon
check 'status of the daemon' $? 0
tail -n 3 /vm/out/daemon.log
python3 /vm/ordinary.py $events "$took" "$round" >/vm/out/ordinary.md
check 'a list of what fired' $? 0
cat /vm/out/ordinary.md
grep '"sensor":"memory"' $events >/vm/out/memory.json
check 'lines that failed' "$broken" 0
count() { grep -c "$1" /vm/out/memory.json; }
# One for each process whose maps are read: that they are told is the other half.
measured=$(grep -E '"name":"(lsof|fuser|pmap)"' /vm/out/memory.json | grep -c '"action":"proc-maps"')
check 'address maps opened by lsof, fuser and pmap are told' "$([ "$measured" -gt 0 ] && echo yes)" yes
check 'acts on other processes by ordinary tools' "$(($(count .) - measured))" 0
read -r pss_then descriptors_then < <(head -n1 /vm/out/holds)
read -r pss descriptors < <(tail -n1 /vm/out/holds)
echo "memory after a round: $pss_then KiB, in the end: $pss KiB"
check 'memory of its own of 6 MiB at most' "$((pss > 0 && pss <= 6144))" 1
check 'memory as it was after the first round, half a MiB more at most' "$((pss <= pss_then + 512))" 1
check 'descriptors as after the first round' "$descriptors" "$descriptors_then"
check 'events lost' "$(grep -c '"action":"loss"' $events)" 0
verdict
