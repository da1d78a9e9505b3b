# A jail that watches a log in which somebody has already tried three times.
set -e
cat >/etc/fail2ban/filter.d/door.conf <<'CONF'
[Definition]
failregex = no entry for <HOST>$
CONF
rm -f /etc/fail2ban/jail.d/*
cat >/etc/fail2ban/jail.local <<'CONF'
[door]
enabled = true
filter = door
backend = polling
logpath = /var/log/door.log
maxretry = 3
action = sendmail[name=door, dest="bob@example.net,carol@example.net", sender=fail2ban]
CONF
for i in 1 2 3; do echo "$(date '+%Y-%m-%d %H:%M:%S') door: no entry for 192.0.2.7"; done >/var/log/door.log
