#!/bin/sh
# The second command: everything set up, checked and tested on this machine.
. "$(dirname "$0")/set-up.sh"

# What tests need of the system. What cannot be installed makes its tests skip, with the reason.
missing=''
for pair in bwrap:bubblewrap runc:runc busybox:busybox-static \
  mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs faketime:faketime \
  zsh:zsh fish:fish rsync:rsync strace:strace zfs-fuse:zfs-fuse \
  podman:podman lz4:lz4 ip:iproute2 qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils sshd:openssh-server \
  buildbot:buildbot buildbot-worker:buildbot-worker chromium:chromium; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing the system packages that tests need:$missing"
    # The trailing minus leaves out what QEMU recommends and no test needs: windows and sound.
    # shellcheck disable=SC2086 -- a list of packages
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing \
      qemu-system-gui-; } \
      >/dev/null 2>&1 || echo "They cannot be installed here; tests that need them will be skipped."
  else
    echo "Not installed:$missing. Tests that need them will be skipped; as root on Debian, or after"
    echo "installing them yourself, they run."
  fi
fi

npm run --silent check
npm run --silent build
# No test waits for ever: what hangs is told as such. Each file is a process: they share compiled code.
NODE_COMPILE_CACHE="$PWD/node_modules/.cache/node" \
node --test --test-concurrency=2 --test-reporter=spec --test-timeout=1200000 \
  "src/**/*.test.ts" "test/**/*.test.ts" "scripts/**/*.test.ts" "dashboard/src/**/*.test.ts"
sh scripts/test-zfs.sh
