#!/bin/sh
# deb.sh [FOLDER] - build the programs and a Debian package of them in FOLDER (default: dist). Prints its path.
#
# Needs Go only; the tool that writes the package is one of the module packaging/nfpm. Variables:
#   VERSION            of the package (default: by the last tag, else by the date of the commit)
#   GOARCH             what it is for (default: this machine)
#   SOURCE_DATE_EPOCH  time stamp of everything in it (default: that of the commit)
# The same source, version, time and Go give the same octets.
set -eu
cd "$(dirname "$0")/.."
out=${1:-dist}

git() { command git "$@" 2>/dev/null; }
commit=$(git rev-parse --short=12 HEAD) || commit=unknown
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct || echo 1767225600)}"
if [ -z "${VERSION:-}" ]; then
	if tag=$(git describe --tags --match 'v[0-9]*'); then
		VERSION=$(echo "${tag#v}" | sed 's/-\([0-9]*\)-g/+\1./')
	else
		VERSION=0~$(git log -1 --date=format:%Y%m%d%H%M%S --format=%cd || echo 0).$commit
	fi
fi
GOARCH=$(go env GOARCH)
case $GOARCH in
386) ARCH=i386 ;;
arm) ARCH=armhf ;;
ppc64le) ARCH=ppc64el ;;
*) ARCH=$GOARCH ;;
esac

mkdir -p "$out"
STAGE=$(mktemp -d "${TMPDIR:-/tmp}/signpost-deb.XXXXXX")
trap 'rm -rf "$STAGE"' EXIT
trap 'exit 1' HUP INT TERM

for program in sendmail signpost deliver; do
	CGO_ENABLED=0 GOOS=linux GOARCH=$GOARCH go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X main.version=$VERSION -X main.commit=$commit" -o "$STAGE/$program" "./cmd/$program"
done

share=$STAGE/share
for page in man/*.[158]; do
	[ -e "$page" ] || continue
	section=${page##*.}
	mkdir -p "$share/man/man$section"
	gzip -9nc "$page" >"$share/man/man$section/${page#man/}.gz"
done
complete() { # SHELL FILE
	mkdir -p "$(dirname "$share/$2")"
	GOOS='' GOARCH='' go run ./cmd/signpost completion "$1" >"$share/$2"
}
complete bash bash-completion/completions/signpost
complete zsh zsh/vendor-completions/_signpost
complete fish fish/vendor_completions.d/signpost.fish
doc=$share/doc/signpost
mkdir -p "$doc"
{
	echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
	echo 'Upstream-Name: signpost'
	echo
	echo 'Files: *'
	sed -n 's/^Copyright (c) /Copyright: /p' LICENSE
	echo 'License: Expat'
	sed '1,/^Copyright/d; /./,$!d; s/^$/./; s/^/ /' LICENSE | sed '1{/^ \.$/d;}'
} >"$doc/copyright"
[ ! -e README.md ] || cp README.md "$doc/README.md"
find "$STAGE" -type d -exec chmod 755 {} +
find "$share" -type f -exec chmod 644 {} +

export SOURCE_DATE_EPOCH
sed "s|@STAGE@|$STAGE|; s|@ARCH@|$ARCH|; s|@VERSION@|$VERSION|" packaging/deb/nfpm.yaml >"$STAGE/nfpm.yaml"
deb=$out/signpost_${VERSION}_$ARCH.deb
GOOS='' GOARCH='' go tool -modfile=packaging/nfpm/go.mod nfpm package --config "$STAGE/nfpm.yaml" --packager deb --target "$deb" >&2
echo "$deb"
