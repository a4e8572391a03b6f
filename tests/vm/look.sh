#!/bin/bash
# look: what happens
cd /vm/project
t() { cut -d' ' -f1 /proc/uptime; }
echo "== check"; for m in file process; do :; done; (sleep 20; for i in 1 2 3 4 5 6; do sleep 10; ps -eo pid,stat,time,wchan:20,comm | grep bee-; cat /proc/$(pgrep -n bee-trace)/stack; done) & a=$(t); time timeout 150 target/debug/bee-trace -vvv check; echo "rc=$? from $a to $(t)"
target/debug/bee-trace -v check --json > /vm/out/check.json 2>/vm/out/check.err
echo "== run"
mkdir -p /home/visitor/.ssh; echo x > /home/visitor/.ssh/id_ed25519; chown -R visitor: /home/visitor; chmod 700 /home/visitor/.ssh; chmod 600 /home/visitor/.ssh/id_ed25519
mkdir -p /root/.ssh; echo y >/root/.ssh/id_rsa; chmod 755 /root /root/.ssh; chmod 600 /root/.ssh/id_rsa
a=$(t)
target/debug/bee-traced --config config/bee-traced.toml --output json --duration 25 -vvv >/vm/out/events.json 2>/vm/out/daemon.log &
pid=$!
for i in $(seq 200); do grep -q '"start"' /vm/out/events.json && break; kill -0 $pid || break; sleep 0.1; done
echo "started after $a .. $(t)"
sleep 3
cat /home/visitor/.ssh/id_ed25519
setpriv --reuid=visitor --regid=visitor --clear-groups cat /root/.ssh/id_rsa
ln /root/.ssh/id_rsa /root/.ssh/id_ecdsa
mv /root/.ssh/id_ecdsa /root/.ssh/id_dsa
rm /root/.ssh/id_dsa
/bin/true
grep -E 'Cap|NoNew|Seccomp' /proc/$pid/status
wait $pid; echo "daemon rc=$?"
grep -o '"event.action":"[^"]*"' /vm/out/events.json | sort | uniq -c
grep -o '"action":"[^"]*"' /vm/out/events.json | sort | uniq -c
