#!/bin/sh
# test.sh [--long] - check everything: format, vet, staticcheck, all tests under the race detector with the seeds of
# the fuzz targets, the manual pages, and the installed package end to end, with some forty programs that people use
# around it: each as Debian ships it, and what it sends is compared where it arrives.
#
# As root on a system with apt it first installs the tools that are missing, and says which. Mail systems and mail
# programs go into root file systems of their own (packaging/root.sh), never onto the machine, and so does our package.
# Without root or apt it does what it can and says what was left out. It asks nothing, and may be run again at any time.
#
# --long: more and longer: every fuzz target for half a minute, the end-to-end tests with larger numbers.
#
# Exit status: 0 all that could be run has passed, 1 something failed, 2 the command line is wrong.
set -u
cd "$(dirname "$0")/.." || exit 1
exec </dev/null

long=
case $*:$# in
:0) ;;
--long:1) long=1 ;;
*)
	echo 'usage: sh packaging/test.sh [--long]' >&2
	exit 2
	;;
esac

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
roots=${SIGNPOST_ROOTS:-/var/tmp/signpost-roots}
tools='debootstrap gcc libc6-dev mandoc util-linux'
# What is in the roots: callers have a test each, programs a row in packaging/e2e/programs_table_test.go.
callers='bsd-mailx cron git git-email libmailtools-perl mutt opendkim-tools php-cli python3 python3-dkim python3-flufl.bounce s-nail swaks systemd'
programs='alpine anacron apt-listchanges apticron at cron-apt debsecan emacs-nox fail2ban libemail-sender-perl
	libmailtools-perl libmime-lite-perl libphp-phpmailer logcheck logwatch mailutils mblaze mdadm mime-construct
	monitoring-plugins-standard mpack neomutt nmh node-nodemailer nodejs php-cli php-symfony-mailer procmail python3
	reportbug ruby-mail smartmontools sudo unattended-upgrades vacation'

passed= failed= omitted=
began=$(date +%s)
say() { printf '\n== %s (%d s)\n' "$*" $(($(date +%s) - began)); }
omit() { # WHAT WHY
	echo "left out: $1: $2"
	omitted="$omitted
  left out: $1: $2"
}

# step NAME COMMAND...: run a step, whatever became of those before.
step() {
	name=$1
	shift
	say "$name"
	if "$@"; then
		passed="$passed, $name"
	else
		echo "FAILED: $name"
		failed="$failed, $name"
		return 1
	fi
}

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# Tools of the machine itself: nothing among them is a daemon or a mail program.
install_tools() {
	missing=
	for p in $tools; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
	done
	[ -n "$missing" ] || {
		echo "all there: $tools"
		return 0
	}
	echo "installing:$missing"
	set -- -q -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 --no-install-recommends
	DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 update >/dev/null &&
		DEBIAN_FRONTEND=noninteractive apt-get "$@" install $missing
}

formatted() {
	list=$(gofmt -l cmd compat mta packaging spool) && [ -z "$list" ] || {
		echo "not as gofmt writes it: $list"
		return 1
	}
}

vetted() { go vet ./... && CGO_ENABLED=0 go vet -tags e2e ./packaging/...; }

checked() { go run "$staticcheck" -tags e2e ./...; }

pages() {
	mandoc -T lint -W warning man/*.[158] && echo "clean: $(echo man/*.[158])"
}

fuzzed() {
	grep -rlE '^func Fuzz' --include='*_test.go' cmd compat mta spool | while read -r file; do
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file" | while read -r target; do
			# Little of the time goes into making inputs short, and none of the list into the test's own input.
			go test -run '^$' -fuzz "^$target\$" -fuzztime 30s -fuzzminimizetime 100x "./$(dirname "$file")" </dev/null || exit 1
		done || exit 1
	done
}

make_package() {
	rm -f dist/signpost_*.deb && sh packaging/deb.sh dist
}

make_roots() {
	sh packaging/root.sh bare &&
		sh packaging/root.sh callers $callers dist/signpost_*.deb &&
		sh packaging/root.sh programs $programs dist/signpost_*.deb &&
		sh packaging/root.sh postfix postfix python3
}

end_to_end() {
	CGO_ENABLED=0 SIGNPOST_ROOTS=$roots SIGNPOST_DEB=$(echo "$PWD"/dist/signpost_*.deb) SIGNPOST_LONG=$long \
		go test -tags e2e -count=1 -timeout 20m ./packaging/...
}

# What lies in the way of entering a root; empty: nothing.
hindrance() {
	if ! is_root; then
		echo 'only root can make and enter root file systems'
	elif ! have apt-get; then
		echo 'there is no apt-get to make them from Debian packages'
	elif ! have debootstrap; then
		echo 'debootstrap is not installed'
	elif ! unshare --mount --net --pid --fork mount -t proc proc /proc 2>/dev/null; then
		echo 'no name spaces of mounts, network and processes may be made here'
	fi
}

if ! have go; then
	echo 'test.sh: Go is not installed (or not in PATH); see go.mod for the version' >&2
	exit 1
fi
go version
if is_root && have apt-get; then
	step tools install_tools
else
	omit 'installing tools' 'that needs root and apt-get'
fi
step gofmt formatted
step vet vetted
step staticcheck checked
if [ "$(go env CGO_ENABLED)" = 1 ] && have "$(go env CC)"; then
	step 'tests with -race' go test -race ./...
else
	omit 'the race detector' 'it needs a C compiler'
	step tests go test ./...
fi
[ -z "$long" ] || step fuzzing fuzzed
if have mandoc; then
	step 'manual pages' pages
else
	omit 'manual pages' 'mandoc is not installed'
fi
step package make_package
why=$(hindrance)
if [ -n "$why" ]; then
	omit 'end-to-end tests' "$why"
else
	mkdir -p "$roots"
	exec 9>"$roots/tests.lock" # another run would change the roots under our feet
	flock --nonblock 9 || { echo 'waiting for another run of this' && flock 9; }
	step roots make_roots && step 'end-to-end tests' end_to_end
fi

say summary
echo "  passed: ${passed#, }${omitted}"
if [ -n "$failed" ]; then
	echo "  FAILED: ${failed#, }"
	exit 1
fi
