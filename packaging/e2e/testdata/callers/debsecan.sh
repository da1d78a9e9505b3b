# A list of vulnerabilities in which one package that is installed stands.
set -e
mkdir -p /srv/debsecan
printf 'VERSION 1\nCVE-2026-0001,,Gr\303\274\303\237e from a mail\n\nprocmail,0,SHRF,9999,\n\nprocmail,procmail\n\n' |
	python3 -c 'import sys, zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))' >/srv/debsecan/bookworm
debsecan --suite bookworm --source file:///srv/debsecan/ --mailto bob@example.net --format report --history /srv/history --update-history
