#!/bin/sh
# Makes dockerd, docker and a static busybox available for "make test-docker".
# "install.sh probe" only tells, by its exit code and a line, whether that can work.
set -eu

explain() {
  echo "$1"
  exit 1
}

[ "$(uname -s)" = Linux ] || explain "the Docker test needs Linux"
[ "$(id -u)" = 0 ] || explain "the Docker test needs root, to run a daemon of its own"
[ -d /sys/fs/cgroup ] || explain "the Docker test needs cgroups at /sys/fs/cgroup"
unshare --mount --pid --fork true 2>/dev/null || explain "the Docker test needs namespaces, which this kernel or sandbox denies"

# ldd fails on a static program.
static() { [ -x "$1" ] && ! ldd "$1" >/dev/null 2>&1; }

missing=
command -v dockerd >/dev/null || missing="docker.io"
static /bin/busybox || missing="$missing busybox-static"
[ -z "$missing" ] || command -v apt-get >/dev/null || explain "install dockerd and a static busybox first: there is no apt-get to do it"
[ "${1:-}" != probe ] || exit 0
[ -n "$missing" ] || exit 0

export DEBIAN_FRONTEND=noninteractive
# At run level 1 invoke-rc.d starts no service: the test starts its own daemon.
export RUNLEVEL=1
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing
