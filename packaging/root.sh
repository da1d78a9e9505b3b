#!/bin/sh
# root.sh NAME [PACKAGE | FILE.deb]... - make a root file system of Debian packages, and print its path.
#
# It is for what must not be installed on the machine itself: other mail systems, and programs that call ours. Nothing
# in it is ever started by installing it (policy-rc.d). All roots are copies of one base, made by debootstrap for the
# machine's own release and from its own mirror; a root that has what is asked for is left as it is. A FILE.deb is
# installed with the packages, so that those that depend on a mail system have one, and once more whenever its content
# is new. Roots lie below ${SIGNPOST_ROOTS:-/var/tmp/signpost-roots}; removing that folder undoes everything. Only root
# can make a root.
set -eu

say() { echo "root.sh: $*" >&2; }
die() {
	say "$*"
	exit 1
}

[ $# -gt 0 ] || die 'usage: root.sh NAME [PACKAGE | FILE.deb]...'
[ "$(id -u)" -eq 0 ] || die 'only root can make a root file system (chroot, mount)'
command -v apt-get >/dev/null || die 'apt-get is not here: a root is made of Debian packages'
command -v debootstrap >/dev/null || die 'debootstrap is not here; mend it with: apt-get install debootstrap'

umask 022
roots=${SIGNPOST_ROOTS:-/var/tmp/signpost-roots}
mkdir -p "$roots"
[ "$(stat -c %u "$roots")" -eq 0 ] || die "$roots belongs to somebody else"
mkdir -p "$roots/archives/partial"
roots=$(cd "$roots" && pwd)

# What is mounted below vanishes with the mount name space, also when this is killed.
if [ -z "${ROOT_SH_INSIDE:-}" ]; then
	ROOT_SH_INSIDE=1 exec unshare --mount --propagation private flock "$roots/lock" sh "$0" "$@"
fi
unset ROOT_SH_INSIDE

name=$1
shift
case $name in
'' | .* | */* | base | archives | lock) die "$name cannot be the name of a root" ;;
esac

# sources SUITE: the components and the mirror that this machine has its own packages from.
sources() {
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$1" '$1 == suite && $3 ~ /^https?:/ {
			if (!mirror) mirror = $3
			if ($3 == mirror && !seen[$2]++) list = list (list ? "," : "") $2
		} END { print (list ? list : "main"), mirror }'
}

# inside ROOT COMMAND...: run a command in a root, with what apt and packages need, and without a terminal to ask at.
inside() {
	root=$1
	shift
	if ! mountpoint -q "$root/proc"; then
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mkdir -p "$root/var/cache/apt/archives"
		mount --bind "$roots/archives" "$root/var/cache/apt/archives"
	fi
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}" \
		chroot "$root" "$@" </dev/null
}

# quietly LOG COMMAND...: run it, and show what it said only where it fails.
quietly() {
	log=$1
	shift
	"$@" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		die "failed: $* (all of it: $log)"
	}
}

make_base() {
	suite=stable
	[ ! -r /etc/os-release ] || suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
	set -- $(sources "$suite")
	components=$1
	mirror=${2:-}
	include=
	case $mirror in https:*) include=--include=ca-certificates ;; esac
	say "making the base: $suite ($components), by debootstrap"
	rm -rf "$roots/base.part"
	quietly "$roots/base.log" debootstrap --variant=minbase --components="$components" $include \
		--cache-dir="$roots/archives" "$suite" "$roots/base.part" $mirror

	printf '#!/bin/sh\nexit 101\n' >"$roots/base.part/usr/sbin/policy-rc.d"
	chmod 755 "$roots/base.part/usr/sbin/policy-rc.d"
	printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/locale/*' >"$roots/base.part/etc/dpkg/dpkg.cfg.d/throw-away"
	{
		echo 'APT::Install-Recommends "false";'
		echo 'APT::Keep-Downloaded-Packages "true";'
		echo 'APT::Sandbox::User "root";'
		echo 'Acquire::Languages "none";'
		echo 'Acquire::Retries "3";'
		echo 'Dpkg::Use-Pty "0";'
		apt-config dump | grep -E '^Acquire::https?::' || :
	} >"$roots/base.part/etc/apt/apt.conf.d/90throw-away"
	quietly "$roots/base.log" inside "$roots/base.part" apt-get -q update
	umount -R "$roots/base.part/proc" "$roots/base.part/dev" "$roots/base.part/var/cache/apt/archives"
	mv "$roots/base.part" "$roots/base"
}

packages=
debs=
for p; do
	case $p in
	*.deb)
		[ -r "$p" ] || die "$p cannot be read"
		debs="$debs $(readlink -f "$p")"
		;;
	*) packages="$packages $p" ;;
	esac
done

# put ROOT: lay the FILE.debs into it, where apt finds them as debs_inside.
put() {
	mkdir -p "$1/var/tmp/debs"
	cp $debs "$1/var/tmp/debs/"
}
debs_inside=
for d in $debs; do debs_inside="$debs_inside /var/tmp/debs/${d##*/}"; done

[ -d "$roots/base" ] || make_base
at=$roots/$name
stamp=$(for d in $debs; do sha256sum <"$d"; done)
if [ "$(cat "$at/packages" 2>/dev/null || echo none)" != "${packages:- }" ]; then
	say "making $name:${packages:- nothing but the base}"
	rm -rf "$at" "$at.part"
	mkdir "$at.part"
	cp -a --reflink=auto "$roots/base" "$at.part/root"
	[ -z "$debs" ] || put "$at.part/root"
	[ -z "$packages$debs" ] || quietly "$roots/$name.log" inside "$at.part/root" apt-get -q -y install $packages $debs_inside
	rm -rf "$at.part/root/var/tmp/debs"
	echo "${packages:- }" >"$at.part/packages"
	echo "$stamp" >"$at.part/debs"
	umount -R "$at.part/root/proc" "$at.part/root/dev" "$at.part/root/var/cache/apt/archives" 2>/dev/null || :
	mv "$at.part" "$at"
fi

if [ -n "$debs" ] && [ "$(cat "$at/debs" 2>/dev/null || :)" != "$stamp" ]; then
	say "installing in $name:$debs"
	rm -f "$at/debs"
	put "$at/root"
	quietly "$roots/$name.log" inside "$at/root" apt-get -q -y --reinstall --allow-downgrades \
		-o Dpkg::Options::=--force-confnew install $debs_inside
	rm -rf "$at/root/var/tmp/debs"
	echo "$stamp" >"$at/debs"
fi
echo "$at/root"
