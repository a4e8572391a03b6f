#!/bin/bash
# Numbered opens while the service is killed, restarted, reloaded and replaced by another build,
# under a systemd of this machine's own: each must be told, and be told twice only as the same
# event. RESTART_OPENS is how many there are at least (120000 for the long form). The last build has another
# format of records, and reads what the one before has left by that one's.
# also: format
cd /vm/project || exit 1
source /vm/guest.sh
opens=${RESTART_OPENS:-20000}
rate=${RESTART_RATE:-500}

before=$(loaded)
mkdir -p /srv/numbered
# Emulated, a build takes a minute to verify, and its predecessor's rings must hold that minute.
install_service TimeoutStartSec=9min WatchdogSec=0 <<'END'
[output]
to = ["file"]
file = "/var/lib/bee-traced/state/events.json"
rotate_mib = 1024
[file]
watch = ["/srv/numbered/*"]
[limits]
alerts_per_second = 20000
alert_burst = 100000
alert_ring_kib = 32768
bulk_ring_kib = 8192
END
for number in $(seq -w 0 999); do : >"/srv/numbered/$number"; done

systemctl start bee-traced
check 'status of systemctl start' $? 0
stored=$(show NFileDescriptorStore)
echo "systemd $(systemctl --version | head -n1): $stored descriptors in the store"
check 'descriptors in the store' "$([ "$stored" -gt 20 ] && echo many)" many
check 'the same by the daemon' "$(number stored)" "$stored"

# Opens file after file, evenly, until it is told to end and there were enough. Debian 13's perl-base has
# no Time::HiRes.
perl -e '
  sub now() { open my $file, "<", "/proc/uptime" or die; (split " ", <$file>)[0] }
  my ($opens, $rate) = @ARGV; my $begin = now; my $done = 0;
  until ($done >= $opens && -e "/run/enough") {
    open my $file, "<", sprintf("/srv/numbered/%03d", $done % 1000) or die; close $file; $done++;
    my $ahead = $begin + $done / $rate - now; select undef, undef, undef, $ahead if $ahead > 0;
  }
  printf "%d %.0f\n", $done, $done / (now - $begin);' "$opens" "$rate" >/run/opened &
worker=$!

lives=1
act() { # WHAT ADOPTED COMMAND…
  local pid what=$1 adopted=$2
  shift 2
  pid=$(show MainPID)
  sleep "${RESTART_PAUSE:-5}"
  "$@"
  within 600 other_pid "$pid"
  check "a new daemon after $what" $? 0
  lives=$((lives + 1))
  check "it took over what ran" "$(number adopted)" "$adopted"
  check "lives" "$(number life)" "$lives"
}
kill_it() { kill -9 "$(show MainPID)"; }
other_build() {
  printf '[Service]\nEnvironment=BEE_TEST_BUILD=%s\n' "$1" >/etc/systemd/system/bee-traced.service.d/build.conf
  systemctl daemon-reload
  systemctl restart bee-traced
}
other_format() {
  install /vm/bee-traced-format /usr/bin/bee-traced
  systemctl restart bee-traced
}
act 'kill -9' true kill_it
act 'a restart' true systemctl restart bee-traced
systemctl reload bee-traced
check 'status of a reload' $? 0
act 'another build' false other_build another
act 'another format of records' false other_format
act 'kill -9' true kill_it
act 'a restart' true systemctl restart bee-traced
sleep 5
touch /run/enough
wait "$worker"
check 'status of the opens' $? 0
read -r count speed </run/opened
echo "$count opens at $speed/s over $lives lives"
check 'as fast as was wanted' "$([ "$speed" -ge $((rate * 9 / 10)) ] && echo yes)" yes

# What was told of file NUMBER, as often as events have different numbers.
told() {
  perl -ne '
    next unless /"action":"open"/ && m{"path":"/srv/numbered/(\d+)"}; my $file = $1;
    /"sequence":(\d+)/ or next; $lines++; $told++ unless $seen{"$file $1"}++;
    END { print $told + 0, " ", $lines + 0, "\n" }' /var/lib/bee-traced/state/events.json
}
enough() { [ "$(told | cut -d' ' -f1)" -ge "$count" ]; }
within 60 enough
read -r told lines < <(told)
check 'opens told' "$told" "$count"
echo "$((lines - told)) told twice, as the same"
check 'told twice' "$([ $((lines - told)) -lt 4000 ] && echo few)" few
check 'losses told' "$(grep -c '"action":"loss"' /var/lib/bee-traced/state/events.json)" 0
check 'lost in the kernel' "$(number lost_in_kernel)" 0
check 'lost in the daemon' "$(number lost_in_daemon)" 0
status=$(bee-trace status --json | sed -n '/"sums"/,/}/s/^ *"\([a-z_]*\)": \([0-9]*\),*$/\1=\2/p')
eval "$status"
check 'emitted over all lives' "$emitted" $((submitted + lost_in_kernel))
check 'submitted over all lives' "$submitted" $((waiting + delivered + lost_in_daemon + no_event))

systemctl stop bee-traced
check 'status of systemctl stop' $? 0
check 'descriptors in the store after it' "$(show NFileDescriptorStore)" 0
check 'programs and maps left' "$(loaded)" "$before"
journalctl -q -u bee-traced --no-pager -o cat >/vm/out/daemon.log
verdict
