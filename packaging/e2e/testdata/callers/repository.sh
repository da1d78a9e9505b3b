# A repository with two versions of one small package, and nothing else to get packages from.
set -e
mkdir -p /srv/apt
for version in 1 2; do
	at=$(mktemp -d)
	mkdir -p "$at/DEBIAN" "$at/usr/share/doc/greeting"
	printf 'Package: greeting\nVersion: %s\nArchitecture: all\nMaintainer: Ann <ann@example.org>\nDescription: says hello\n' $version >"$at/DEBIAN/control"
	printf 'greeting (%s) unstable; urgency=low\n\n  * Grüße.\n\n -- Ann <ann@example.org>  Mon, 23 Nov 2026 10:00:00 +0000\n' $version |
		gzip -n >"$at/usr/share/doc/greeting/changelog.gz"
	deb=/srv/apt/greeting_${version}_all.deb
	chmod 755 "$at"
	dpkg-deb --root-owner-group --build "$at" $deb >/dev/null
	{
		dpkg-deb --field $deb
		echo "Filename: ./greeting_${version}_all.deb"
		echo "Size: $(stat -c %s $deb)"
		echo "SHA256: $(sha256sum <$deb | cut -d' ' -f1)"
		echo
	} >>/srv/apt/Packages
done
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/apt ./' >/etc/apt/sources.list.d/test.list
