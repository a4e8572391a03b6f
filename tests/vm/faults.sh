#!/bin/bash
# Faults under a systemd of this machine's own: what docs/faults.md promises for each, with the
# counters that say so. Everything happens in this machine only.
cd /vm/project || exit 1
source /vm/guest.sh
watched=/srv/watched
state=/var/lib/bee-traced/state
screens=/vm/out/screens
mkdir -p "$watched" "$state"

title() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }
# Opens the watched file NAME, COUNT times; with RATE, so many a second.
hit() {
  perl -e 'my ($path, $count, $rate) = @ARGV; open my $new, ">>", $path; close $new;
    for (1 .. $count) { open my $file, "<", $path or die; close $file; select undef, undef, undef, 1 / $rate if $rate }' \
    "$watched/$1" "$2" "${3:-0}"
}
entries() { journalctl -q -u bee-traced --no-pager -o cat --output-fields="$1" "${@:2}"; }
# Reading opens of NAME that the journal has, each once; those the file sink has.
journal() {
  entries BEE_EVENT_SEQUENCE BEE_FILE_PATH="$watched/$1" BEE_EVENT_ACTION=open BEE_ACCESS=read | sort -u | wc -l
}
lines() { grep -h '"action":"open"' "$state"/events.json* | grep "\"path\":\"$watched/$1\"" | grep -c '"access":"read"'; }
distinct() { grep -h "\"path\":\"$watched/$1\"" "$state"/events.json* | grep '"access":"read"' | sed 's/.*"sequence":\([0-9]*\).*/\1/' | sort -u | wc -l; }
in_file() { [ "$(distinct "$1")" -ge "$2" ]; }
in_journal() { [ "$(journal "$1")" -ge "$2" ]; }
# Events that `loss` events with CAUSE and STAGE have told.
lost() { entries BEE_LOSS_COUNT BEE_LOSS_CAUSE="$1" BEE_LOSS_STAGE="$2" | awk '{ sum += $1 } END { print sum + 0 }'; }
told() { [ "$(lost "$1" "$2")" -ge "${3:-1}" ]; }
# Events of the file that the journal does not have, and what its sink says of that.
sequences() { sed -n 's/.*"sequence":\([0-9]*\).*/\1/p' "$state"/events.json*; }
not_in_journal() { comm -23 <(sequences | sort -u) <(entries BEE_EVENT_SEQUENCE | sort -u) | wc -l; }
lost_for_journal() { echo $(($(sink journal queue_full) + $(sink journal refused))); }
is_told_or_there() { [ "$(not_in_journal)" = "$(lost_for_journal)" ]; }
# COUNTER of SINK.
sink() {
  bee-trace status --json | awk -v sink="\"name\": \"$1\"" -v key="\"$2\":" '
    /"sinks"/ { here = 1 } here && index($0, sink) { found = 1 }
    found && index($0, key) { gsub(/[^0-9]/, "", $2); print $2; exit }'
}
in_status() { show StatusText | grep -q "$1"; }
screen() { # NAME
  { printf '== %s\n' "$1"; SYSTEMD_COLORS=0 systemctl status --no-pager --lines=0 bee-traced; } >>"$screens" 2>&1
}
adds_up() { # WHAT
  local emitted submitted lost_in_kernel waiting delivered lost_in_daemon no_event
  eval "$(bee-trace status --json | sed -n '/"sums"/,/}/s/^ *"\([a-z_]*\)": \([0-9]*\),*$/\1=\2/p')"
  check "$1: emitted" "$emitted" $((submitted + lost_in_kernel))
  check "$1: submitted" "$submitted" $((waiting + delivered + lost_in_daemon + no_event))
}
# The loop is alive, and events arrive.
well() { # WHAT
  local name=well-$RANDOM
  hit "$name" 3
  within 60 in_journal "$name" 3
  check "$1: opens after it" "$(journal "$name")" 3
  adds_up "$1"
}
fill() { dd if=/dev/zero of="$1" bs=4k count="${2:-1000000}" status=none 2>/dev/null; }

before=$(loaded)
mount -t tmpfs -o size=64M tmpfs "$state"
install_service WatchdogSec=20 TimeoutStartSec=9min <<'END'
[output]
to = ["journal", "file"]
file = "/var/lib/bee-traced/state/events.json"
rotate_mib = 64
actions = ["open", "bpf", "time-set"]
journal_actions = ["open", "bpf", "time-set"]
journal_fold_seconds = 0
[file]
watch = ["/srv/watched/*", "/mnt/disk/secret*"]
[limits]
alerts_per_second = 20000
alert_burst = 100000
alert_ring_kib = 8192
queue_kib = 256
END
systemctl start --no-block bee-traced
sleep 3
screen 'starting'
within 500 is ActiveState active
check 'it starts' $? 0
screen 'ready'
well 'start'
pid=$(show MainPID)

title 'another root changes settings in the kernel'
check 'settings that were changed' "$(/vm/triggers/64/meddle word .data.settings 0 9)" 1
within 60 told altered kernel
check 'told as lost' "$(lost altered kernel)" 1
within 20 well 'put right'
check 'altered' "$(number altered)" 1
check 'the same daemon' "$(show MainPID)" "$pid"
check 'who did it' "$([ "$(entries MESSAGE BEE_EVENT_ACTION=bpf | grep -c meddle)" -gt 0 ] && echo told)" told

title 'journald is stopped'
hit journald-away 1
systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald
hit stopped 60
sleep 3
check 'the loop' "$(number pid)" "$pid"
check 'it waits for journald' "$(bee-trace status --json | grep -c '"problem": "')" 1
systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald
within 60 in_journal stopped 60
check 'opens of that time' "$(journal stopped)" 60
check 'lost by the sink' "$(sink journal queue_full) $(sink journal refused)" '0 0'

title 'journald is restarted'
hit restarted 400 100 &
for _ in 1 2 3; do systemctl restart systemd-journald; sleep 1; done
wait $!
within 60 in_journal restarted 400
check 'opens of that time' "$(journal restarted)" 400
check 'lost by the sink' "$(sink journal queue_full) $(sink journal refused)" '0 0'

title 'journald is slow'
kill -STOP "$(systemctl show --value -p MainPID systemd-journald)"
hit slow 3000 1000
sleep 2
check 'the loop' "$(number pid)" "$pid"
kill -CONT "$(systemctl show --value -p MainPID systemd-journald)"
drained() { [ "$(sink journal queued)" = 0 ]; }
within 120 drained
full=$(sink journal queue_full)
check 'more than the queue holds' "$([ "$full" -gt 0 ] && echo some)" some
within 30 told queue_full journal "$full"
check 'told as lost' "$(lost queue_full journal)" "$full"
check 'the file has them all' "$(lines slow)" 3000
within 30 is_told_or_there
check 'not in the journal, and told as lost' "$(not_in_journal)" "$full"
well 'journald is slow'

title 'the disk of a file is full'
fill "$state/ballast"
hit full 3000 1000
sleep 8
check 'the loop' "$(number pid)" "$pid"
screen 'degraded: a file cannot be written'
check 'said' "$(show StatusText | grep -c 'file: ')" 1
bee-trace status --check
check 'status of status --check' $? 2
rm "$state/ballast"
drained_file() { [ "$(sink file queued)" = 0 ]; }
within 60 drained_file
gone=$(($(sink file refused) + $(sink file queue_full)))
check 'some were refused' "$([ "$gone" -gt 0 ] && echo some)" some
all_told() { [ $(($(lost refused file) + $(lost queue_full file))) -ge "$gone" ]; }
within 30 all_told
check 'told as lost' $(($(lost refused file) + $(lost queue_full file))) "$gone"
check 'the journal has them all' "$(journal full)" 3000
well 'disk full'

title 'the disk of journald is full'
accepted=$(sink journal accepted)
mkdir -p /run/log/journal
fill /run/ballast
hit run-full 200
check 'the loop' "$(number pid)" "$pid"
check 'the file has them all' "$(lines run-full)" 200
systemctl reload bee-traced
check 'a reload with /run full' $? 0
systemctl restart bee-traced
check 'a restart with /run full' $? 0
check 'took over' "$(number adopted)" true
rm /run/ballast
systemctl restart systemd-journald
pid=$(show MainPID)
check 'counted as accepted' "$([ "$(sink journal accepted)" -ge $((accepted + 200)) ] && echo all)" all
well '/run full'

title 'frozen for longer than the watchdog waits'
hit frozen 6000 100 &
worker=$!
sleep 2
restarts=$(show NRestarts)
kill -STOP "$pid"
within 120 other_pid "$pid"
check 'a new daemon' $? 0
wait "$worker"
within 60 in_file frozen 6000
check 'opens of that time' "$(distinct frozen)" 6000
# What a kill takes from the queue may have been written: it is counted as lost all the same.
check 'what the journal lacks is counted' "$([ "$(not_in_journal)" -le "$(lost_for_journal)" ] && echo all)" all
check 'restarts' "$(show NRestarts)" $((restarts + 1))
check 'why' "$(journalctl -q -u bee-traced _PID=1 --no-pager | grep -c 'Watchdog timeout')" 1
check 'took over' "$(number adopted)" true
check 'lost in the kernel' "$(number lost_in_kernel)" 0
screen 'after the watchdog'
well 'frozen'
pid=$(show MainPID)

title 'the configuration is replaced while it is read'
good=/etc/bee-traced/config.d/vm.toml
cp "$good" /root/one
sed 's/alert_burst = 100000/alert_burst = 90000/' "$good" >/root/two
: >/run/replacing
(while [ -e /run/replacing ]; do
  for version in one two; do cp "/root/$version" "$good.new"; mv "$good.new" "$good"; done
done) &
worker=$!
for _ in $(seq 15); do systemctl reload bee-traced || check 'a reload' refused 'done'; done
rm /run/replacing
wait "$worker"
cp /root/one "$good"
bee-trace reload
check 'status of the last reload' $? 0
check 'reloads' "$(number reloads)" 16
echo 'nonsense = 1' >>"$good"
systemctl reload bee-traced && check 'a reload of a wrong configuration' 'done' refused
within 20 in_status refused
check 'said' $? 0
screen 'reload refused'
cp /root/one "$good"
systemctl reload bee-traced
check 'a reload of the right one' $? 0
check 'the same daemon' "$(show MainPID)" "$pid"
well 'configuration'

title 'a file system goes and another comes'
disk() { # FILE…
  mkdir -p /mnt/disk
  mount -t tmpfs disk /mnt/disk
  for name in "$@"; do echo x >"/mnt/disk/$name"; done
}
scanned() { bee-trace status --json | grep -q '"idle": true'; }
reads() { entries BEE_EVENT_SEQUENCE BEE_FILE_PATH="/mnt/disk/$1" BEE_EVENT_ACTION=open BEE_ACCESS=read | sort -u | wc -l; }
disk secret-1
sleep 3
within 60 scanned
cat /mnt/disk/secret-1 >/dev/null
umount /mnt/disk
disk harmless-1 secret-2
sleep 3
within 60 scanned
cat /mnt/disk/harmless-1 /mnt/disk/secret-2 >/dev/null
seen() { [ "$(reads secret-1) $(reads secret-2)" = '1 1' ]; }
within 60 seen
check 'secrets of either' "$(reads secret-1) $(reads secret-2)" '1 1'
check 'a file with the same number on the other' "$(reads harmless-1)" 0
umount /mnt/disk

title 'the clock jumps'
now=$(date +%s)
for jump in 86400 -172800; do
  date -s "@$(($(date +%s) + jump))" >/dev/null
  hit "clock$jump" 1
  sleep 2
  stamp=$(grep -h "clock$jump" "$state"/events.json* | grep '"access":"read"' | sed -n 's/.*"@timestamp":"\([^"]*\)".*/\1/p' | tail -n1)
  off=$(($(date +%s) - $(date -d "$stamp" +%s)))
  check "time of an event after $jump s" "$([ "${off#-}" -le 20 ] && echo right)" right
  uptime=$(number uptime_seconds)
  check 'uptime is no matter of the clock' "$([ "$uptime" -gt 0 ] && [ "$uptime" -lt 3600 ] && echo right)" right
done
date -s "@$((now + 20))" >/dev/null
sleep 25 # the watchdog's time: it is fed
check 'the same daemon' "$(show MainPID)" "$pid"
check 'who did it' "$([ "$(entries MESSAGE BEE_EVENT_ACTION=time-set | wc -l)" -ge 3 ] && echo told)" told
well 'clock'

title 'the scanner is killed'
old() { [ "$(ps -o etimes= -p "$pid")" -gt 65 ]; }
within 90 old
kill -9 "$(pgrep -P "$pid")"
within 60 other_pid "$pid"
check 'a new daemon' $? 0
pid=$(show MainPID)
check 'took over' "$(number adopted)" true
check 'it has a scanner' "$(pgrep -cP "$pid")" 1
well 'scanner'
kill -9 "$(pgrep -P "$pid")"
within 20 in_status 'the scanner has ended'
check 'said, where it ends again at once' $? 0
screen 'degraded: no scanner'
bee-trace status --check
check 'status of status --check' $? 1
check 'the same daemon' "$(show MainPID)" "$pid"
well 'no scanner'

title 'killed again and again'
for _ in {1..12}; do
  killed=$(show MainPID)
  kill -9 "$killed"
  within 90 other_pid "$killed" || break
done
check 'it goes on' "$(show ActiveState)" active
check 'took over' "$(number adopted)" true
pid=$(show MainPID)
well 'kills'

title 'memory is short'
current=$(show MemoryCurrent)
echo "current $((current / 1024)) KiB"
hit memory 500 50 &
worker=$!
restarts=$(show NRestarts)
# No life fits in there, and the kernel kills at once; the next finds the limit as it was.
cgroup=/sys/fs/cgroup$(show ControlGroup)
limit=$(cat "$cgroup/memory.max")
complaints_wanted
echo 500K >"$cgroup/memory.max"
echo "$limit" >"$cgroup/memory.max" 2>/dev/null
within 90 other_pid "$pid"
check 'a new daemon' $? 0
complaints_unwanted
wait "$worker"
check 'why' "$(journalctl -q -u bee-traced _PID=1 --no-pager | grep -c "result 'oom-kill'")" 1
check 'restarts' "$(show NRestarts)" $((restarts + 1))
check 'took over' "$(number adopted)" true
within 60 in_file memory 500
check 'opens of that time' "$(distinct memory)" 500
pid=$(show MainPID)
well 'memory'

title 'another root detaches a link'
printf '[Service]\nExecStart=\nExecStart=/usr/bin/bee-traced --force-tier tracepoint\n' >/etc/systemd/system/bee-traced.service.d/tier.conf
systemctl daemon-reload
systemctl restart bee-traced
check 'a restart at the tier tracepoint' $? 0
pid=$(show MainPID)
restarts=$(show NRestarts)
check 'links that were detached' "$(/vm/triggers/64/meddle detach)" 4
within 400 other_pid "$pid"
check 'a new daemon' $? 0
check 'told as lost' "$(lost blind network)" 1
check 'restarts' "$(show NRestarts)" $((restarts + 1))
check 'loaded anew' "$(number adopted)" false
screen 'after a sensor was taken out'
well 'a link'

title 'another root switches off what calls the programs'
rm /etc/systemd/system/bee-traced.service.d/tier.conf
systemctl daemon-reload
systemctl restart bee-traced
check 'a restart at the best tier' $? 0
check 'its hooks' "$(show StatusText | grep -c 'file (full)')" 1
pid=$(show MainPID)
restarts=$(show NRestarts)
# The kernel warns when probes go that came while this was off.
complaints_wanted
sysctl -qw kernel.ftrace_enabled=0
within 400 other_pid "$pid"
check 'a new daemon' $? 0
pid=$(show MainPID)
check 'told as lost' "$(lost blind file)" 1
check 'restarts' "$(show NRestarts)" $((restarts + 1))
check 'loaded anew' "$(number adopted)" false
show StatusText
check 'by other hooks' "$(show StatusText | grep -c 'file (full)')" 0
screen 'after what calls the programs was switched off'
well 'other hooks'
sysctl -qw kernel.ftrace_enabled=1

title 'stop'
systemctl stop bee-traced
check 'status of systemctl stop' $? 0
check 'programs and maps left' "$(loaded)" "$before"
complaints_unwanted
journalctl -q -u bee-traced _TRANSPORT=stdout --no-pager -o short >/vm/out/daemon.log
cat "$screens"
verdict
